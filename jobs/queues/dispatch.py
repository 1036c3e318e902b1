"""The choice of the next job of a queue: width, rate, order. Every start of a queue's job goes through this module."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence

from django.db import connection
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from agents.models import Agent, AgentTag
from jobs.models import Job, Queue, QueueState
from jobs.states import ACTIVE, JobStatus
from jobs.transitions import JobMove
from kernel.bells import ring

_KEYS_LOOKED_AT = 100
"""A queue whose first jobs are of so many keys that have had their share starts none until one of them may again."""


def queues_with_work(rows: QuerySet[Queue], now: dt.datetime) -> list[tuple[Queue, dt.datetime]]:
    """Return those of the queues that are not paused, have room and a due job, and since when the first in line is
    due; the oldest first. Whether its rate lets it start is for `Line` to find out. One query.
    """
    first = Job.objects.in_line(now).filter(queue=OuterRef("pk")).values("active_at")[:1]
    active = Job.objects.active().filter(queue=OuterRef("pk")).order_by().values("queue")
    counted = rows.exclude(state=QueueState.PAUSED).annotate(
        first_due_at=Subquery(first), active_count=Coalesce(Subquery(active.annotate(n=Count("pk")).values("n")), 0)
    )
    found = counted.filter(first_due_at__isnull=False, active_count__lt=F("width")).order_by("first_due_at", "pk")
    return [(queue, queue.first_due_at) for queue in found]


def queues_of_agent(agent_id: str) -> QuerySet[Queue]:
    """Return the queues on this agent, and those of its owner on a tag that it has."""
    tags = AgentTag.objects.filter(agent_id=agent_id).values("tag")
    group = Q(agent=None, tag__in=tags) & ~Q(tag="")
    owner = Agent.objects.filter(pk=agent_id).values("owner_id")
    return Queue.objects.filter(Q(agent_id=agent_id) | group, owner_id=Subquery(owner))


class Line:
    """The queues as one transaction sees them, with what it has started itself and not yet written."""

    def __init__(self, now: dt.datetime) -> None:
        self._now = now
        self._started: list[Job] = []

    def lock_next(self, queue_id: str) -> Job | None:
        """Lock and return the job that the queue starts now. None if it may start none, or another transaction holds
        the queue.

        Locks the queue's row, so that racing gateways start one after the other, and never waits for it: the holder may
        wait for us. The holder of the lock rings after its commit if more may start, so a caller that got None need not
        retry in a loop. A job returned counts as started.
        """
        skip = connection.features.has_select_for_update_skip_locked
        queue = Queue.objects.select_for_update(skip_locked=skip).filter(pk=queue_id).first()
        room = self._room(queue) if queue is not None else 0
        if queue is None or room <= 0:
            return None
        head = self._head(queue)
        rows = Job.objects.waiting().select_for_update(skip_locked=skip)
        job = rows.filter(pk=head.pk, queue=queue).first() if head is not None else None
        if job is None:
            return None
        self._started.append(job)
        if room > 1:
            ring_queues([queue])
        return job

    def may_start(self, queue: Queue) -> bool:
        """Tell, without a lock, whether the queue would start a job now."""
        return self._room(queue) > 0 and self._head(queue) is not None

    def _room(self, queue: Queue) -> int:
        """Return how many more may be active."""
        if queue.state == QueueState.PAUSED:
            return 0
        ours = sum(job.queue_id == queue.pk for job in self._started)
        return int(queue.width - ours - Job.objects.active().filter(queue=queue).count())

    def _head(self, queue: Queue) -> Job | None:
        """Return the first in line whose key has not had its share."""
        waiting = Job.objects.in_line(self._now).filter(queue=queue).exclude(pk__in=[job.pk for job in self._started])
        if queue.rate_limit is None:
            return waiting.first()
        spent: list[str] = []
        while len(spent) < _KEYS_LOOKED_AT:
            head = waiting.exclude(rate_key__in=spent).first()
            if head is None or self._count_starts(queue, head.rate_key) < queue.rate_limit:
                return head
            spent.append(head.rate_key)
        return None

    def _count_starts(self, queue: Queue, key: str) -> int:
        since = self._now - dt.timedelta(seconds=queue.rate_seconds)
        ours = Counter((job.queue_id, job.rate_key) for job in self._started)[queue.pk, key]
        return Job.objects.filter(queue=queue, rate_key=key, sent_at__gt=since).count() + ours


def ring_queues(queues: Iterable[Queue]) -> None:
    """Ring, after COMMIT, every process that may start the next job of these queues: agents, group members, pullers."""
    for queue in queues:
        if queue.agent_id:
            ring("agent", queue.agent_id)
        elif queue.tag:
            for agent_id in members_of(queue):
                ring("agent", agent_id)
        else:
            ring("queue", queue.pk)


def members_of(queue: Queue) -> list[str]:
    """Return the ids of the online agents of a group."""
    members = Agent.objects.usable().filter(owner_id=queue.owner_id, online=True, tags__tag=queue.tag)
    return list(members.values_list("pk", flat=True))


def wake_queues(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Observer: where a job of a queue ended or went back there is room, and where one came that no agent has there is
    work."""
    ids = {one.job.queue_id for one in moved if one.job.queue_id and _concerns_others(one)}
    if ids:
        ring_queues(Queue.objects.filter(pk__in=ids))


def ring_lost_queues(*, due_before: dt.datetime, now: dt.datetime) -> int:
    """Ring for every queue that would start a job which has been due since `due_before`; return how many."""
    line = Line(now)
    waiting = queues_with_work(Queue.objects.all(), due_before)
    found = [queue for queue, _due_at in waiting if queue.rate_limit is None or line.may_start(queue)]
    ring_queues(found)
    return len(found)


def _concerns_others(one: JobMove) -> bool:
    if one.after == JobStatus.QUEUING and one.job.agent_id is None:
        return True
    return one.before in ACTIVE and one.after not in ACTIVE
