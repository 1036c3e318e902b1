"""T9: what is due fires: one transaction marks the rows and inserts their jobs, whose ids follow from the rows'.

Never early: the database's clock decides. Fired once: a row is fired under its lock and only while it is scheduled, and
a job with the id of the occurrence can exist once. Any number of processes may release at once; each skips what another
has locked.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef

from accounts.models import User
from agents.models import Agent
from agents.services.find import is_usable
from jobs.delayed.ends import AGENT_REMOVED, OWNER_FROZEN, QUEUE_REMOVED, end_rows
from jobs.delayed.notices import tell_of_lost, tell_of_waiting
from jobs.delayed.service import OCCURRENCE, DelayedRef, lock_delayed
from jobs.life.callbacks import callback_delivery, write_deliveries
from jobs.life.insert import insert_jobs, new_job
from jobs.life.ticker import due_time
from jobs.models import DelayedJob, DelayedState, Job
from jobs.order import JobOrder
from kernel.clock import database_now, rfc3339
from kernel.errors import AppError, NotScheduled, QueueDuplicate
from kernel.ids import occurrence_id
from kernel.transactions import FRESH_SECONDS, named_transaction, retry_transaction
from notifications.models import Delivery

logger = logging.getLogger(__name__)

RELEASE_LIMIT = 1000
REFUSED_AGAIN = dt.timedelta(seconds=10)
"""A queue that is full or drained is asked again after so long."""

FAULT = "fault"
"""The reason of a row that the database refused; the log has the error."""

_SHORTEST_PAUSE_SECONDS = 0.02
_WAITED = dt.timedelta(minutes=5)
_TELL_WITHIN = dt.timedelta(days=1)
_TELL_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The rows that one transaction took, and the moment of the last one."""

    count: int
    last_due: dt.datetime | None = None


def release_while(seconds: float, *, limit: int = RELEASE_LIMIT) -> int:
    """Release what is due, and what falls due within the next `seconds`, each near its moment; return how many.

    Costs one query when nothing is due, so a tick each second is enough. Batches after the first go on from where the
    last one ended: otherwise each would scan all rows that were released before it. The next tick starts again and
    finds the rows that another transaction had locked.
    """
    end = time.monotonic() + seconds
    count = 0
    after: dt.datetime | None = None
    while True:
        pause = _seconds_to_the_next(after)
        if pause is None or time.monotonic() + pause > end:
            return count
        if pause > 0:
            time.sleep(max(pause, _SHORTEST_PAUSE_SECONDS))
            after = None
        released = retry_transaction(partial(release_delayed, limit=limit, after=after))
        count += released.count
        # Nothing although something was due: others have locked it, or the ticker is held.
        if not released.count or time.monotonic() > end:
            return count
        after = released.last_due


def release_delayed(
    *, limit: int = RELEASE_LIMIT, after: dt.datetime | None = None, now: dt.datetime | None = None
) -> Released:
    """Fire at most `limit` rows that are due, from the moment `after` on, oldest first, in one transaction.

    A row whose agent is gone or whose owner is frozen is canceled. If the queue is full or draining, the row is tried
    again in ten seconds; if the queue has the job already, the row has fired and names that job. If the database
    refuses a row, that row is postponed and the others fire.

    Raises LostRace or StaleClock, with nothing done; `release_while` then runs it again.
    """
    with named_transaction("release", fresh_seconds=FRESH_SECONDS):
        now = due_time(now or database_now())
        if now is None:
            return Released(count=0)
        due = DelayedJob.objects.filter(state=DelayedState.SCHEDULED, due_at__lte=now)
        if after is not None:
            due = due.filter(due_at__gte=after)
        skip = connection.features.has_select_for_update_skip_locked
        rows = list(due.order_by("due_at", "id").select_for_update(skip_locked=skip)[:limit])
        try:
            with transaction.atomic():
                _fire(rows, now)
        except IntegrityError:
            _fire_each([row.pk for row in rows], now)
    return Released(count=len(rows), last_due=rows[-1].due_at if rows else None)


def fire_delayed(wanted: Sequence[DelayedRef], *, now: dt.datetime | None = None) -> list[DelayedJob | AppError]:
    """Fire scheduled rows now, by hand, before their moment. A second time is the same.

    Per item: NotFound; NotScheduled for one that was canceled; what a queue refuses.
    """
    with transaction.atomic():
        now = now or database_now()
        outcomes: list[DelayedJob | AppError] = []
        for one in wanted:
            try:
                outcomes.append(_fired_by_hand(one, now))
            except AppError as error:
                outcomes.append(error)
    return outcomes


def tell_of_waiting_jobs(*, now: dt.datetime | None = None) -> int:
    """Tell owners, once for each job, that what has fired waits for its agent since five minutes; return how many."""
    with named_transaction("delayed.tell"):
        now = now or database_now()
        untold = DelayedJob.objects.filter(pk=OuterRef("parent_id"), state=DelayedState.FIRED, told_at=None)
        waiting = Job.objects.waiting().filter(
            Exists(untold),
            active_at__gte=now - _TELL_WITHIN,
            active_at__lte=now - _WAITED,
            created_at__lte=now - _WAITED,
            agent__online=False,
        )
        found = dict(waiting.order_by("active_at", "id").values_list("parent_id", "agent_id")[:_TELL_LIMIT])
        # Two processes may find the same rows; the lock lets one of them tell.
        rows = list(DelayedJob.objects.select_for_update().filter(pk__in=sorted(found), told_at=None).order_by("pk"))
        DelayedJob.objects.filter(pk__in=[row.pk for row in rows]).update(told_at=now)
        tell_of_waiting([(row.owner_id, found[row.pk]) for row in rows], now=now)
    return len(rows)


def _seconds_to_the_next(after: dt.datetime | None) -> float | None:
    """Return how long until a scheduled row is due, 0 where one is; None where there is none."""
    scheduled = DelayedJob.objects.filter(state=DelayedState.SCHEDULED)
    if after is not None:
        scheduled = scheduled.filter(due_at__gte=after)
    due_at = scheduled.order_by("due_at", "id").values_list("due_at", flat=True).first()
    return None if due_at is None else max(0.0, (due_at - database_now()).total_seconds())


def _fire(rows: Sequence[DelayedJob], now: dt.datetime) -> None:
    """Fire rows that the caller has locked: each to its agent, its queue or its address."""
    lost = _lost(rows)
    for reason in sorted(set(lost.values())):
        end_rows([row for row in rows if lost.get(row.pk) == reason], DelayedState.CANCELED, now=now, reason=reason)
    tell_of_lost([(row.owner_id, row.agent_id) for row in rows if row.pk in lost], now=now)
    rows = [row for row in rows if row.pk not in lost]
    posted = [row for row in rows if row.url]
    end_rows(posted, DelayedState.FIRED, now=now)
    _post(posted, now)
    due = [row for row in rows if not row.url]
    refused = _insert(due, now)
    end_rows([row for row in due if row.pk not in refused], DelayedState.FIRED, now=now)
    for row in due:
        if row.pk in refused:
            _note_refusal(row, refused[row.pk], now)


def _fire_each(ids: Sequence[str], now: dt.datetime) -> None:
    """Fire rows that the caller has locked one by one, because together they failed."""
    # Read again: the objects still have the values of the transaction that was rolled back.
    for row in DelayedJob.objects.filter(pk__in=ids).order_by("due_at", "id"):
        try:
            with transaction.atomic():
                _fire([row], now)
        except IntegrityError:
            logger.exception("delayed job cannot fire", extra={"action": "release.fault", "delayed_job": row.pk})
            DelayedJob.objects.filter(pk=row.pk).update(due_at=now + REFUSED_AGAIN, reason=FAULT, updated_at=now)


def _lost(rows: Sequence[DelayedJob]) -> dict[str, str]:
    """Return, by id, why rows can never run: their owner is frozen, or their agent or queue is gone or disabled."""
    agents = Agent.objects.in_bulk({row.agent_id for row in rows if row.agent_id})
    people = User.objects.filter(pk__in={row.owner_id for row in rows}, is_active=False)
    frozen = set(people.values_list("pk", flat=True))
    lost = {}
    for row in rows:
        agent = agents.get(row.agent_id or "")
        if row.owner_id in frozen:
            lost[row.pk] = OWNER_FROZEN
        elif agent is not None and not is_usable(agent):
            lost[row.pk] = AGENT_REMOVED
        elif not (row.agent_id or row.queue_id or row.url):
            lost[row.pk] = QUEUE_REMOVED
    return lost


def _insert(rows: Sequence[DelayedJob], now: dt.datetime) -> dict[str, AppError]:
    """Insert the jobs of these rows; return what their queues refused, by row.

    In agent-id order: the foreign-key check locks agent rows, and touch_agents() uses the same order, so the two cannot
    deadlock.
    """
    rows = sorted(rows, key=lambda row: row.agent_id or "")
    jobs = [_job(row, now) for row in rows]
    outcomes = insert_jobs(jobs, now=now, actor_of={job.pk: row.actor for job, row in zip(jobs, rows, strict=True)})
    return {row.pk: made for row, made in zip(rows, outcomes, strict=True) if isinstance(made, AppError)}


def _note_refusal(row: DelayedJob, refusal: AppError, now: dt.datetime) -> None:
    if isinstance(refusal, QueueDuplicate):
        end_rows([row], DelayedState.FIRED, now=now, reason="duplicate")
        row.job_id = refusal.job_id
        row.save(update_fields=["job_id"])
    else:
        row.due_at, row.reason, row.updated_at = now + REFUSED_AGAIN, refusal.code, now
        row.save(update_fields=["due_at", "reason", "updated_at"])


def _fired_by_hand(one: DelayedRef, now: dt.datetime) -> DelayedJob:
    row = lock_delayed(one.owner_id, one.delayed_id)
    if row.state == DelayedState.FIRED:
        return row
    if row.state != DelayedState.SCHEDULED:
        raise NotScheduled
    # Its moment is now: nothing of it may look as if it had come early.
    row.due_at = now
    if not row.url and (refused := _insert([row], now)):
        raise refused[row.pk]
    if row.url:
        _post([row], now)
    row.save(update_fields=["due_at"])
    end_rows([row], DelayedState.FIRED, now=now)
    return row


def _job(row: DelayedJob, now: dt.datetime) -> Job:
    """Return the unsaved job of a row. Its place in the queue follows from the moment at which the row was due."""
    return new_job(
        JobOrder.of(row),
        job_id=occurrence_id(row.pk, OCCURRENCE),
        owner_id=row.owner_id,
        agent_id=row.agent_id,
        queue_id=row.queue_id,
        now=now,
        active_at=row.due_at,
        parent_id=row.pk,
        occurrence=OCCURRENCE,
    )


def _post(rows: Sequence[DelayedJob], now: dt.datetime) -> None:
    """Write the outbox rows of these, unless they are there. Receivers know one again by the `id` in its body."""
    wanted = {f"delayed:{row.pk}": row for row in rows}
    known = set(Delivery.objects.filter(dedupe_key__in=wanted).values_list("dedupe_key", flat=True))
    write_deliveries([_callback(row, subject, now) for subject, row in wanted.items() if subject not in known])


def _callback(row: DelayedJob, subject: str, now: dt.datetime) -> Delivery:
    payload: dict[str, object] = {
        "id": row.pk,
        "key": row.key,
        "message": row.message,
        "source": row.source,
        "due_at": rfc3339(row.due_at),
        "fired_at": rfc3339(now),
    }
    return callback_delivery(
        owner_id=row.owner_id, subject=subject, target=row.url, dedupe_key=subject, payload=payload, now=now
    )
