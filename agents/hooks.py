"""What upper apps do when an agent is deleted or disabled. Registered in `ready()`, run in its transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

OnRemoved = Callable[[str, str, dt.datetime], None]
"""Takes the agent's id, the actor (`user:<id>`) and the time of the transaction."""

_on_removed: list[OnRemoved] = []


def on_removed(hook: OnRemoved) -> None:
    """Register `hook`."""
    _on_removed.append(hook)


def run_on_removed(agent_id: str, actor: str, now: dt.datetime) -> None:
    """Run every hook; an error rolls the removal back."""
    for hook in _on_removed:
        hook(agent_id, actor, now)
