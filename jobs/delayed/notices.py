"""What owners are told of delayed jobs: that their agent keeps them waiting, or that nobody will ever take them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence

from django.conf import settings
from django.utils import translation
from django.utils.translation import ngettext

from accounts.models import User
from agents.models import Agent
from notifications.messages.accept import NewMessage, accept_messages
from notifications.models import Level

_Sentence = Callable[[int, str], str]


def tell_of_waiting(waiting: Sequence[tuple[str, str | None]], *, now: dt.datetime) -> None:
    """Tell owners, given as (owner, agent) for each job, that jobs wait for agents: one message for each agent."""

    def sentence(count: int, agent: str) -> str:
        return ngettext(
            "🕘 %(count)s delayed job waits for %(agent)s, which is offline. It runs when the agent is back.",
            "🕘 %(count)s delayed jobs wait for %(agent)s, which is offline. They run when the agent is back.",
            count,
        ) % {"count": count, "agent": agent}

    _tell(waiting, sentence, now)


def tell_of_lost(lost: Sequence[tuple[str, str | None]], *, now: dt.datetime) -> None:
    """Tell owners that delayed jobs were canceled, because their agent, or their queue, is gone or switched off."""

    def sentence(count: int, agent: str) -> str:
        return ngettext(
            "⬜ %(count)s delayed job for %(agent)s was canceled: it is deleted or disabled.",
            "⬜ %(count)s delayed jobs for %(agent)s were canceled: it is deleted or disabled.",
            count,
        ) % {"count": count, "agent": agent}

    _tell(lost, sentence, now)


def _tell(subjects: Sequence[tuple[str, str | None]], sentence: _Sentence, now: dt.datetime) -> None:
    if not subjects:
        return
    counts = Counter(subjects)
    # Who is frozen is told nothing.
    owners = User.objects.filter(is_active=True).in_bulk({owner_id for owner_id, _agent in counts})
    agents = Agent.objects.in_bulk({agent_id for _owner, agent_id in counts if agent_id})
    wishes = []
    for (owner_id, agent_id), count in sorted(counts.items(), key=str):
        if owner_id not in owners:
            continue
        agent = agents.get(agent_id or "")
        with translation.override(owners[owner_id].language or settings.LANGUAGE_CODE):
            text = sentence(count, agent.name if agent else "–")
        wishes.append(
            NewMessage(owner_id=owner_id, text=text, level=Level.WARNING, source="LetServer", agent_id=agent_id or "")
        )
    accept_messages(wishes, now=now)
