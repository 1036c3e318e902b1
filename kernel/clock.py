"""The clock that decides: the database's, asked once per transaction and passed on as `now=`.

No wall clock of a process decides anything. Where a query would cost too much, `approximate_now` gives the database's
time as this process last saw it, carried on by a clock that cannot be set.
"""

from __future__ import annotations

import datetime as dt
import functools
import time
from pathlib import Path

from django.db import connection

from kernel.hostclock import HostClock, steady_ns

_PRECISE_NS = 500_000_000

_offset_ns: int | None = None
"""The database's time minus `steady_ns`, as of the last answer; None before the first."""


def database_now() -> dt.datetime:
    """Return the database server's time in UTC, with microseconds. One query, none on SQLite.

    SQLite has no clock of its own: there it is the host's, as far as it may be believed (`HostClock`).
    """
    global _offset_ns
    before = steady_ns()
    if connection.vendor == "sqlite":
        now_ns = host_clock().now_ns()
        _offset_ns = now_ns - before
        return _moment(now_ns)
    with connection.cursor() as cursor:
        cursor.execute("SELECT UTC_TIMESTAMP(6)")
        (moment,) = cursor.fetchone()
    now: dt.datetime = moment.replace(tzinfo=dt.UTC)
    after = steady_ns()
    # An answer that took long says little about the time at which it was given.
    if after - before <= _PRECISE_NS or _offset_ns is None:
        _offset_ns = int(now.timestamp() * 1_000_000) * 1000 - (before + after) // 2
    return now


def approximate_ns() -> int:
    """Return the database's time in nanoseconds since 1970 without a query; the host's before the first `database_now`.

    Exact to the round trip of the last query. A clock of the database that is set is noticed at the next query.
    """
    return time.time_ns() if _offset_ns is None else steady_ns() + _offset_ns


def approximate_now() -> dt.datetime:
    """Return `approximate_ns` as a moment in UTC."""
    return _moment(approximate_ns())


def skew_seconds() -> float:
    """Return by how many seconds this process's wall clock is ahead of the database's. One query, none on SQLite."""
    database_now()
    return (time.time_ns() - approximate_ns()) / 1e9


def host_clock() -> HostClock:
    """Return the clock of the SQLite database."""
    return _host_clock(str(connection.settings_dict["NAME"]))


@functools.cache
def _host_clock(database: str) -> HostClock:
    in_memory = ":memory:" in database or database.startswith("file:")
    return HostClock(Path(f"{database}-clock"), boot="" if in_memory else None)


def _moment(nanoseconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=nanoseconds // 1000)


def rfc3339(moment: dt.datetime | None) -> str | None:
    """Write a moment as the API does: UTC, microseconds, `Z`."""
    if moment is None:
        return None
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
