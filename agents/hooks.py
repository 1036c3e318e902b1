"""A registry of functions that run when an agent is removed or goes online or offline, inside that transaction.

Apps register in `AppConfig.ready()`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

OnRemoved = Callable[[str, str, dt.datetime], None]
"""Takes the agent's id, the actor (`user:<id>`) and the time of the transaction."""

OnPresence = Callable[[Sequence[str], bool, dt.datetime], None]
"""Takes the ids of agents, whether they are online now, and the time of the transaction."""

_on_removed: list[OnRemoved] = []
_on_presence: list[OnPresence] = []


def on_removed(hook: OnRemoved) -> None:
    """Register `hook`."""
    _on_removed.append(hook)


def run_on_removed(agent_id: str, actor: str, now: dt.datetime) -> None:
    """Run every hook; an exception rolls the removal back."""
    for hook in _on_removed:
        hook(agent_id, actor, now)


def on_presence(hook: OnPresence) -> None:
    """Register `hook`."""
    _on_presence.append(hook)


def run_on_presence(agent_ids: Sequence[str], online: bool, now: dt.datetime) -> None:
    """Run every hook; an exception rolls the change of presence back."""
    for hook in _on_presence:
        hook(agent_ids, online, now)
