"""Agents gone silent: marked offline, and the jobs that may not wait for them expire (the other half of T6)."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from agents.hooks import run_on_presence
from agents.models import Agent
from jobs.life.overdue import SWEEP_LIMIT
from jobs.life.upkeep import is_shift_pending
from jobs.models import GatewayClock, Job
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.transactions import named_transaction

# An agent that was deleted or disabled, or whose owner was frozen, beside the submission of the job.
_REMOVED = Q(agent__enabled=False) | Q(agent__deleted_at__isnull=False) | Q(owner__is_active=False)


def mark_silent_agents(*, limit: int = SWEEP_LIMIT, now: dt.datetime | None = None) -> int:
    """Mark at most `limit` agents offline that said nothing for OFFLINE_SECONDS; return how many.

    Silence counts only from when a gateway was there to be spoken to, and an agent with a live lease is at work, not
    away. Their jobs end in the same transaction; one that slipped in beside it ends at the next sweep.
    """
    with named_transaction("offline"):
        now = now or database_now()
        silence = dt.timedelta(seconds=settings.OFFLINE_SECONDS)
        clock = GatewayClock.objects.first()
        if clock is None or clock.alive_since > now - silence or is_shift_pending(now):
            return 0
        leased = Job.objects.active().filter(agent_id=OuterRef("pk"), lease_until__gt=now)
        silent = Agent.objects.silent_since(now - silence).exclude(Exists(leased)).values_list("pk", flat=True)[:limit]
        # Locked as `touch_agents` does, then looked at again: a word that came in between counts.
        locked = Agent.objects.select_for_update().filter(pk__in=sorted(silent)).order_by("pk")
        ids = [
            agent.pk for agent in locked if agent.online and agent.last_seen_at and agent.last_seen_at < now - silence
        ]
        Agent.objects.filter(pk__in=ids).update(online=False)
        if ids:
            run_on_presence(ids, False, now)
        expire_jobs_of_absent_agents(now=now)
    return len(ids)


def expire_jobs_of_absent_agents(*, limit: int = SWEEP_LIMIT, now: dt.datetime | None = None) -> int:
    """Expire at most `limit` plain jobs that wait for an agent that is offline; cancel those of a removed one."""
    with named_transaction("absent"):
        now = now or database_now()
        waiting = Job.objects.waiting().filter(active_at__lte=now)
        ids = [*waiting.impatient().filter(agent__online=False).values_list("pk", flat=True)[:limit]]
        removed = set(waiting.filter(_REMOVED).values_list("pk", flat=True)[:limit])
        moves = []
        locked = lock_jobs({*ids, *removed})
        agents = Agent.objects.in_bulk({job.agent_id for job in locked.values() if job.agent_id})
        for job in locked.values():
            agent = agents.get(job.agent_id or "")
            if job.status != JobStatus.QUEUING:
                continue
            if job.pk in removed:
                moves.append(JobMove(job=job, move=Move.REMOVE, after=JobStatus.CANCELED, actor="sweep"))
            elif agent is not None and not agent.online and job.is_impatient:
                moves.append(JobMove(job=job, move=Move.WAIT_END, after=JobStatus.EXPIRED, actor="sweep"))
        move_jobs(moves, now=now)
    return len(moves)
