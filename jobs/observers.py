"""Observers of moves. They run inside the transaction: outbox rows, stream events, retries and chains register here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.transitions import JobMove

Observer = Callable[[Sequence["JobMove"], dt.datetime], None]

_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Register `observer`, called with all moves of a transaction and its time. Called in `AppConfig.ready()`."""
    _observers.append(observer)


def tell_observers(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Call every observer; an error rolls the moves back."""
    for observer in _observers:
        observer(moved, now)
