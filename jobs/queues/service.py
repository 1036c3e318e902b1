"""Queues of an owner: made, changed, stopped, emptied, counted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, Min, OuterRef, QuerySet, Subquery
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.plan import plan_of
from accounts.querysets import Viewer
from agents.names import checked_tag
from agents.services.find import find_agent
from agents.services.manage import note_queue_on
from jobs.life.insert import lock_queues
from jobs.models import QUEUE_NAME_LENGTH, DelayedJob, DelayedState, Job, JobEvent, Queue, QueueState, Schedule
from jobs.order import Backoff
from jobs.queues.dispatch import ring_queues
from jobs.states import ACTIVE, TERMINAL, WAITING, JobStatus, Move
from jobs.targets import find_queues
from jobs.transitions import JobMove, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.errors import InvalidRequest, QueueBusy, QueueLimit, QueueNotFound
from kernel.ids import lowest_id
from kernel.names import NameRule
from kernel.transactions import named_transaction

WIDTH_LIMIT = 1000
_BATCH = 500
_MINUTE = dt.timedelta(minutes=1)
_NAME = NameRule(
    longest=QUEUE_NAME_LENGTH,
    never="/",
    wrong_length=_("The name of a queue has 1 to %(limit)s characters."),
    wrong_character=_("The name of a queue has no white space, no slash and no invisible characters."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """The settings of a queue that its owner gives. `agent` (id, name or alias) or `tag` says where it runs; neither:
    it is pulled.

    `rate_limit` starts of one rate key within `rate_seconds`; None: any number. `length_limit` None: any length.
    """

    agent: str = ""
    tag: str = ""
    width: int = 1
    distinct: bool = False
    length_limit: int | None = None
    rate_limit: int | None = None
    rate_seconds: int = 60
    retries: int = 0
    backoff: Backoff | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """Counters of a queue: waiting jobs, active jobs, dead letters, age of the oldest waiting job, ends per minute."""

    waiting: int
    active: int
    dead: int
    oldest_at: dt.datetime | None
    finished_last_minute: int


def find_queue(*, viewer: Viewer, name: str) -> Queue:
    """Return the viewer's queue of that name, its agent loaded; raise QueueNotFound. One query."""
    row = find_queues([(viewer.owner_id, name)]).get((viewer.owner_id, name))
    if row is None:
        raise QueueNotFound(params={"name": name[:QUEUE_NAME_LENGTH]})
    return row


def list_queues(*, viewer: Viewer) -> list[Queue]:
    """Return the viewer's queues by name, agents loaded. One query."""
    return list(Queue.objects.select_related("agent").filter(owner_id=viewer.owner_id).order_by("name"))


def put_queue(*, viewer: Viewer, name: str, settings: QueueSettings, channel: str | None = None) -> tuple[Queue, bool]:
    """Make the queue, or give it these settings in place of all it had; return it and whether it is new.

    Jobs that wait go where the queue now runs. `channel`: the channel of the coyotes API that a new queue is.
    Raises InvalidRequest for a name or a tag that may not be used, AgentNotFound; QueueLimit for one too many.
    """
    _NAME.check(name)
    if settings.agent and settings.tag:
        raise InvalidRequest(_("Send agent or tag, not both."))
    agent = find_agent(viewer=viewer, called=settings.agent) if settings.agent else None
    values: dict[str, object] = {
        "agent": agent,
        "tag": checked_tag(settings.tag) if settings.tag else "",
        "width": settings.width,
        "distinct": settings.distinct,
        "length_limit": settings.length_limit,
        "rate_limit": settings.rate_limit,
        "rate_seconds": settings.rate_seconds,
        "retries": settings.retries,
        "backoff": settings.backoff,
    }
    with named_transaction("queue.put"):
        now = database_now()
        new = {**values, "created_at": now, "updated_at": now, "channel": channel}
        if not Queue.objects.filter(owner_id=viewer.owner_id, name=name).exists():
            _require_room_for_a_queue(viewer.owner_id)
        queue, is_new = Queue.objects.get_or_create(owner_id=viewer.owner_id, name=name, defaults=new)
        if not is_new:
            queue = lock_queues([queue.pk])[queue.pk]
            for field, value in values.items():
                setattr(queue, field, value)
            queue.updated_at = now
            queue.save(update_fields=[*values, "updated_at"])
            Job.objects.waiting().filter(queue=queue).exclude(agent=agent).update(agent=agent)
        if agent is not None:
            note_queue_on(agent, now=now)
        ring_queues([queue])
    return queue, is_new


def set_state(*, queue: Queue, state: QueueState) -> Queue:
    """Pause, resume or drain a queue; return it as it is now."""
    with named_transaction("queue.state"):
        now = database_now()
        queue = _locked(queue)
        queue.state, queue.updated_at = state, now
        queue.save(update_fields=["state", "updated_at"])
        ring_queues([queue])
    return queue


def flush_queue(*, queue: Queue, actor: str) -> int:
    """Cancel every job that waits in the queue; return how many. Active jobs stay."""
    count = 0
    waiting = Job.objects.waiting().filter(queue=queue).order_by("pk")
    while ids := list(waiting.values_list("pk", flat=True)[:_BATCH]):
        with named_transaction("queue.flush"):
            now = database_now()
            jobs = [job for job in lock_jobs(ids).values() if job.status in WAITING]
            move_jobs(
                [JobMove(job=job, move=Move.CANCEL, after=JobStatus.CANCELED, actor=actor) for job in jobs], now=now
            )
        count += len(jobs)
    return count


def delete_queue(*, queue: Queue) -> None:
    """Delete a queue in which nothing lives; jobs that ended in it stay, without it.

    Raises QueueBusy while a job waits or is at work, a delayed job is to come, or a schedule names it.
    """
    _require_idle(queue)
    ended = Job.objects.filter(queue=queue, status__in=TERMINAL)
    while ids := list(ended.values_list("pk", flat=True)[:_BATCH]):
        Job.objects.filter(pk__in=ids).update(queue=None)
    with named_transaction("queue.delete"):
        queue = _locked(queue)
        _require_idle(queue)
        queue.delete()


def count_queues(queues: Sequence[Queue], *, now: dt.datetime | None = None) -> dict[str, QueueCounts]:
    """Return the counters of each queue, by id. Two queries."""
    now = now or database_now()
    ids = [queue.pk for queue in queues]
    counted = Queue.objects.filter(pk__in=ids).annotate(
        waiting=_of_queue(Job.objects.waiting(), Count("pk")),
        active=_of_queue(Job.objects.active(), Count("pk")),
        dead=_of_queue(Job.objects.dead(), Count("pk")),
        oldest_at=_of_queue(Job.objects.waiting().filter(active_at__lte=now), Min("active_at")),
    )
    # Ids of events begin with their time, so the last minute is the end of the table.
    ended = JobEvent.objects.filter(pk__gte=lowest_id(now - _MINUTE), before__in=ACTIVE, after__in=TERMINAL)
    finished: Mapping[str, int] = dict(
        ended.filter(job__queue__in=ids).values_list("job__queue").annotate(n=Count("pk"))
    )
    return {
        row.pk: QueueCounts(
            waiting=row.waiting or 0,
            active=row.active or 0,
            dead=row.dead or 0,
            oldest_at=row.oldest_at,
            finished_last_minute=finished.get(row.pk, 0),
        )
        for row in counted
    }


def _require_room_for_a_queue(owner_id: str) -> None:
    """Raise QueueLimit. The lock on the owner's row makes concurrent calls count each other's queues."""
    limit = plan_of(User.objects.select_for_update().get(pk=owner_id)).queues
    if limit is None:
        return
    used = Queue.objects.filter(owner_id=owner_id).count()
    if used >= limit:
        raise QueueLimit(params={"used": used, "limit": limit})


def _locked(queue: Queue) -> Queue:
    locked = lock_queues([queue.pk]).get(queue.pk)
    if locked is None:
        raise QueueNotFound(params={"name": queue.name})
    return locked


def _require_idle(queue: Queue) -> None:
    lives = Job.objects.filter(queue=queue, status__in=WAITING | ACTIVE)
    comes = DelayedJob.objects.filter(queue=queue, state=DelayedState.SCHEDULED)
    if lives.exists() or comes.exists() or Schedule.objects.filter(queue=queue).exists():
        raise QueueBusy(params={"name": queue.name})


def _of_queue(rows: QuerySet[Job], figure: Count | Min) -> Subquery:
    """Return a figure over those rows that are of the outer queue, from its index."""
    return Subquery(rows.filter(queue=OuterRef("pk")).order_by().values("queue").annotate(n=figure).values("n"))
