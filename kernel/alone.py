"""Run a batch service on one item, as a view does; the gateway's writer does the same for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db import IntegrityError, OperationalError, connection

from kernel.errors import AppError, Unavailable
from kernel.transactions import FRESH_SECONDS, LostRace, Overslept, is_deadlock, whole

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_TRIES = 3


def run_alone(
    service: Callable[[Sequence[Item]], Sequence[Outcome | AppError]], item: Item, *, tries: int = _TRIES
) -> Outcome:
    """Return the outcome of one item, or raise the AppError that it is.

    A lost race is run again: ids were made before the first try, so the winner's row is found. Unavailable after
    `tries`: three do where whoever lost once finds the winner's row, not where many replace each other's.
    """
    for _ in range(tries):
        try:
            with whole("alone", fresh_seconds=FRESH_SECONDS):
                (outcome,) = service([item])
        except (IntegrityError, LostRace, Overslept):
            continue
        except OperationalError as error:
            # The database has undone all of it, also what an outer transaction had written: that one must begin again.
            if not is_deadlock(error) or connection.in_atomic_block:
                raise
            continue
        if isinstance(outcome, AppError):
            raise outcome
        return outcome
    raise Unavailable
