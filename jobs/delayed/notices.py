"""Messages to owners about delayed jobs that wait for their agent, or can never run."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence

from django.utils.translation import ngettext_lazy

from accounts.models import User
from agents.models import Agent
from notifications.drivers.base import Words
from notifications.messages.notify import notify_owner

_WAITING = ngettext_lazy(
    "🕘 %(count)s delayed job waits for %(agent)s, which is offline. It runs when the agent is back.",
    "🕘 %(count)s delayed jobs wait for %(agent)s, which is offline. They run when the agent is back.",
    "count",
)
_LOST = ngettext_lazy(
    "⬜ %(count)s delayed job for %(agent)s was canceled: it is deleted or disabled.",
    "⬜ %(count)s delayed jobs for %(agent)s were canceled: it is deleted or disabled.",
    "count",
)


def tell_of_waiting(waiting: Sequence[tuple[str, str | None]], *, now: dt.datetime) -> None:
    """Notify owners, given as (owner, agent) for each job, that jobs wait for agents: one message for each agent."""
    _notify(waiting, _WAITING, now)


def tell_of_lost(lost: Sequence[tuple[str, str | None]], *, now: dt.datetime) -> None:
    """Notify owners that delayed jobs were canceled, because their agent, or their queue, is gone or switched off."""
    _notify(lost, _LOST, now)


def _notify(subjects: Sequence[tuple[str, str | None]], sentence: Words, now: dt.datetime) -> None:
    """Send one message for each owner and agent; frozen owners get none."""
    if not subjects:
        return
    counts = Counter(subjects)
    # Frozen users get no messages.
    owners = User.objects.filter(is_active=True).in_bulk({owner_id for owner_id, _agent in counts})
    agents = Agent.objects.in_bulk({agent_id for _owner, agent_id in counts if agent_id})
    for (owner_id, agent_id), count in sorted(counts.items(), key=str):
        if owner_id in owners:
            agent = agents.get(agent_id or "")
            params = {"count": count, "agent": agent.name if agent else "–"}
            notify_owner(owners[owner_id], sentence, params, now=now, agent_id=agent_id or "")
