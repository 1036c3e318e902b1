"""A registry of functions that run when a user is frozen, inside its transaction. Apps register in `ready()`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

OnFrozen = Callable[[str, dt.datetime], None]
"""Takes the user's id and the time of the transaction."""

_on_frozen: list[OnFrozen] = []


def on_frozen(hook: OnFrozen) -> None:
    """Register `hook`."""
    _on_frozen.append(hook)


def run_on_frozen(user_id: str, now: dt.datetime) -> None:
    """Run every hook; an exception rolls the freezing back."""
    for hook in _on_frozen:
        hook(user_id, now)
