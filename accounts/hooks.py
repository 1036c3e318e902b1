"""What upper apps do when a user is frozen. Registered in `AppConfig.ready()`, called inside the transaction."""

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
    """Run every hook; an error rolls the freezing back."""
    for hook in _on_frozen:
        hook(user_id, now)
