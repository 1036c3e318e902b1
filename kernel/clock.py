"""The clock that decides: the database's, asked once per transaction and passed on as `now=`."""

from __future__ import annotations

import datetime as dt

from django.db import connection


def database_now() -> dt.datetime:
    """Return the database server's time in UTC, with microseconds.

    SQLite runs in this process and reads the host's clock with fewer digits, so this reads the host's clock directly.
    """
    if connection.vendor == "sqlite":
        return dt.datetime.now(dt.UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT UTC_TIMESTAMP(6)")
        (moment,) = cursor.fetchone()
    return moment.replace(tzinfo=dt.UTC)  # type: ignore[no-any-return]


def rfc3339(moment: dt.datetime | None) -> str | None:
    """Write a moment as the API does: UTC, microseconds, `Z`."""
    if moment is None:
        return None
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
