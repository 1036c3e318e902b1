"""What upper apps do when an agent is removed, comes or goes. Registered in `ready()`, run in the transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

OnRemoved = Callable[[str, str, dt.datetime], None]
"""Takes the agent's id, the actor (`user:<id>`) and the time of the transaction."""

OnPresence = Callable[[Sequence[str], bool, dt.datetime], None]
"""Takes the ids of agents, whether they came (or went), and the time of the transaction."""

_on_removed: list[OnRemoved] = []
_on_presence: list[OnPresence] = []


def on_removed(hook: OnRemoved) -> None:
    """Register `hook`."""
    _on_removed.append(hook)


def run_on_removed(agent_id: str, actor: str, now: dt.datetime) -> None:
    """Run every hook; an error rolls the removal back."""
    for hook in _on_removed:
        hook(agent_id, actor, now)


def on_presence(hook: OnPresence) -> None:
    """Register `hook`."""
    _on_presence.append(hook)


def run_on_presence(agent_ids: Sequence[str], online: bool, now: dt.datetime) -> None:
    """Run every hook; an error rolls back that they were heard or missed."""
    for hook in _on_presence:
        hook(agent_ids, online, now)
