"""Run a batch service on one item, as a view does; the gateway's writer does the same for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db import IntegrityError

from kernel.errors import AppError, Unavailable
from kernel.transactions import FRESH_SECONDS, LostRace, Overslept, whole

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_TRIES = 3


def run_alone(service: Callable[[Sequence[Item]], Sequence[Outcome | AppError]], item: Item) -> Outcome:
    """Return the outcome of one item, or raise the AppError that it is.

    A lost race is run again: ids were made before the first try, so the winner's row is found. Unavailable after three.
    """
    for _ in range(_TRIES):
        try:
            with whole("alone", fresh_seconds=FRESH_SECONDS):
                (outcome,) = service([item])
        except (IntegrityError, LostRace, Overslept):
            continue
        if isinstance(outcome, AppError):
            raise outcome
        return outcome
    raise Unavailable
