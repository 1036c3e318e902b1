"""Named transactions, and the one policy for running a transaction again.

A transaction is run again where another one got in its way and all of it was rolled back:

- IntegrityError: another transaction inserted the same unique key first. Ids are made before the first attempt, so the
  next attempt finds the winner's row.
- LostRace: a row was no longer in the state that was read, or the database broke a deadlock. The next attempt reads
  the rows again.
- StaleClock: the process stood still in the middle. The next attempt reads the time again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from django.db import IntegrityError, OperationalError, connection, transaction

from kernel.errors import AppError, Unavailable
from kernel.failpoints import reach

Result = TypeVar("Result")
Item = TypeVar("Item")

FRESH_SECONDS = 5.0
"""How old the time may be by which a call decides, when its transaction commits."""

ATTEMPTS = 3
"""Enough where a loser finds the winner's row; too few where many transactions replace each other's row."""

_DEADLOCK = 1213  # ER_LOCK_DEADLOCK. SQLite has one writer and so no deadlocks.


class LostRace(Exception):
    """A row was not in the state that the caller read, or the database broke a deadlock. Nothing is written."""


class StaleClock(Exception):
    """The process stood still in the middle: the time by which the body decided is long past. Nothing is written."""


RETRYABLE = (IntegrityError, LostRace, StaleClock)
"""The three errors above. Raised out of `named_transaction`, the transaction can be run again."""


@contextmanager
def named_transaction(name: str, *, fresh_seconds: float | None = None) -> Iterator[None]:
    """Run the body in one transaction, between the failpoints `<name>.before_commit` and `<name>.after_commit`.

    With `fresh_seconds` a body that took longer is rolled back and StaleClock is raised: it read the time once, at its
    beginning, and would date its rows before those that others have committed meanwhile. A deadlock raises LostRace.

    Within another transaction this is a savepoint. Only the outermost one has failpoints and raises these two: a
    deadlock rolls back all of it, so a savepoint alone cannot be run again.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    began = time.monotonic()
    try:
        with transaction.atomic():
            yield
            if fresh_seconds is not None and time.monotonic() - began > fresh_seconds:
                raise StaleClock
            reach(f"{name}.before_commit")
    except OperationalError as error:
        if error.args[:1] == (_DEADLOCK,):
            raise LostRace from error
        raise
    reach(f"{name}.after_commit")


def retry_transaction(work: Callable[[], Result], *, attempts: int = ATTEMPTS) -> Result:
    """Return what `work` returns: a transaction, or a savepoint. Raise Unavailable after `attempts` lost ones."""
    for _ in range(attempts):
        try:
            return work()
        except RETRYABLE:
            continue
    raise Unavailable


def run_transaction(work: Callable[[], Result], *, attempts: int = ATTEMPTS) -> Result:
    """Return what `work` returns, run in a transaction of its own, and again after a lost race.

    Raises Unavailable after `attempts` lost ones, and what `work` raises, with nothing written.
    """

    def in_transaction() -> Result:
        with named_transaction("run_one", fresh_seconds=FRESH_SECONDS):
            return work()

    return retry_transaction(in_transaction, attempts=attempts)


def run_one(
    service: Callable[[Sequence[Item]], Sequence[Result | AppError]], item: Item, *, attempts: int = ATTEMPTS
) -> Result:
    """Run a batch service on one item as `run_transaction` does; return its outcome, or raise the AppError that it is.

    The gateway's writer runs the same services on many items.
    """
    (outcome,) = run_transaction(lambda: service([item]), attempts=attempts)
    if isinstance(outcome, AppError):
        raise outcome
    return outcome
