"""Transactions that stand on their own, by name: everything in them is committed, or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction

from kernel.failpoints import reach

FRESH_SECONDS = 5.0
"""How old the time may be by which a call decides, when its transaction commits."""


_DEADLOCK = 1213
"""ER_LOCK_DEADLOCK."""


class LostRace(Exception):
    """A row was not in the state that the caller saw. Nothing is written; look again and decide anew."""


class Overslept(Exception):
    """The process stood still in the middle: the time that the body goes by is long past. Nothing was written."""


def is_deadlock(error: OperationalError) -> bool:
    """Tell whether MySQL or MariaDB has undone a transaction for another's sake. SQLite has one writer, and none."""
    return error.args[:1] == (_DEADLOCK,)


@contextmanager
def whole(name: str, *, fresh_seconds: float | None = None) -> Iterator[None]:
    """Run the body in one transaction, between the failpoints `<name>.before_commit` and `<name>.after_commit`.

    With `fresh_seconds` a body that took longer is undone and Overslept is raised: it asked for the time once, at its
    beginning, and would date what it writes before what others have written meanwhile. Run it again.

    Within another transaction it is a savepoint of that one, which alone commits and has its own points.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    began = time.monotonic()
    with transaction.atomic():
        yield
        if fresh_seconds is not None and time.monotonic() - began > fresh_seconds:
            raise Overslept
        reach(f"{name}.before_commit")
    reach(f"{name}.after_commit")
