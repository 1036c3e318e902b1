"""Write when agents were last seen. `jobs.life.offline` marks them offline, because that ends jobs."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import models

from accounts.querysets import Viewer
from agents.hooks import run_on_presence
from agents.models import Agent
from kernel.bells import ring
from kernel.clock import database_now
from kernel.transactions import named_transaction

VERSION_LENGTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTouch:
    """A call of an agent: its address, and the version that it sent (empty: none)."""

    agent_id: str
    ip: str | None
    version: str


def touch_agents(touches: Sequence[AgentTouch], *, now: dt.datetime | None = None) -> list[str]:
    """Write that these agents were seen now; return the ids of those that are online by this call.

    The rows are locked first, in the order of their ids, so that two processes never deadlock. The offline sweep takes
    the same locks, so the later of the two sees the writes of the earlier. Then one UPDATE per distinct address and
    version.
    """
    if not touches:
        return []
    latest = {touch.agent_id: touch for touch in touches}
    with named_transaction("agent.touch"):
        now = now or database_now()
        ids = sorted(latest)
        locked = Agent.objects.select_for_update().filter(pk__in=ids).order_by("pk").only("online", "deleted_at")
        offline = [agent.pk for agent in locked if not agent.online and agent.deleted_at is None]
        groups: defaultdict[tuple[str | None, str], list[str]] = defaultdict(list)
        for agent_id in ids:
            groups[latest[agent_id].ip, latest[agent_id].version[:VERSION_LENGTH]].append(agent_id)
        for (ip, version), members in groups.items():
            Agent.objects.filter(pk__in=members).update(last_seen_at=now, ip=ip, version=version)
        if offline:
            Agent.objects.filter(pk__in=offline).update(online=True)
            Agent.objects.filter(pk__in=offline, activated_at=None).update(activated_at=now)
            for agent_id in offline:
                ring("agent", agent_id)
            run_on_presence(offline, True, now)
    return offline


def count_agents(*, viewer: Viewer) -> tuple[int, int]:
    """Return how many agents the viewer has, and how many of them are online. One query."""
    counts = Agent.objects.visible_to(viewer).aggregate(
        every=models.Count("pk"), online=models.Count("pk", filter=models.Q(online=True))
    )
    return counts["every"], counts["online"]
