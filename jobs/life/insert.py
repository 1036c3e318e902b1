"""Jobs enter the table here, whatever makes them: a call, a due moment, a retry, a chain.

`new_job` makes the row and `insert_jobs` inserts it. A job for a queue is checked against it: what the queue refuses is
refused here, once, under the lock of the queue's row.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping, Sequence

from jobs.models import Job, Queue, QueueState
from jobs.order import JobOrder
from jobs.room import waiting_jobs
from jobs.states import JobStatus
from jobs.transitions import record_submission
from kernel.errors import AppError, JobLimit, QueueDraining, QueueDuplicate, QueueFull

_AGAIN_AFTER_SECONDS = 30


def new_job(
    order: JobOrder,
    *,
    job_id: str,
    owner_id: str,
    agent_id: str | None,
    queue_id: str | None,
    now: dt.datetime,
    active_at: dt.datetime | None = None,
    parent_id: str | None = None,
    occurrence: str | None = None,
) -> Job:
    """Return an unsaved job with every option of the order: the first attempt, due at `active_at` or now.

    `parent_id` is what makes it (a delayed job, a schedule, a job) and `occurrence` which of its jobs this is. A ttl
    counts from when the job is due, or from now if that has passed.
    """
    active_at = active_at or now
    job = Job(
        **order.columns,
        id=job_id,
        owner_id=owner_id,
        agent_id=agent_id,
        queue_id=queue_id,
        status=JobStatus.QUEUING,
        events_count=1,
        root_id=job_id,
        parent_id=parent_id,
        occurrence=occurrence,
        distinct_slot=slot_of(order.distinct_key) if order.distinct_key else None,
        created_at=now,
        active_at=active_at,
    )
    if order.ttl_seconds is not None:
        job.expires_at = max(now, active_at) + dt.timedelta(seconds=order.ttl_seconds)
    return job


def slot_of(key: str) -> str:
    """Return what a job holds in `distinct_slot` while it lives, for the key by which it is distinct."""
    return hashlib.sha256(key.encode()).hexdigest()


def lock_queues(ids: Collection[str]) -> dict[str, Queue]:
    """Lock queues in the order of their ids, so that two transactions cannot deadlock, and return them by id.

    Hold this lock to start a job of a queue or to insert one: it keeps width, length and distinct slots exact.
    """
    rows = Queue.objects.select_for_update().filter(pk__in=sorted(ids)).order_by("pk")
    return {queue.pk: queue for queue in rows}


def insert_jobs(
    jobs: Sequence[Job], *, now: dt.datetime, actor_of: Mapping[str, str], are_new: bool = False
) -> list[Job | AppError]:
    """Insert unsaved jobs in the caller's transaction and return, for each, the row there now is, or its refusal.

    Their ids were made before the first try: one whose row exists already is that row, and nothing happens twice.
    `actor_of`: who made it, by job id. The caller has checked owner and text, and the agent of a job without a queue;
    with `are_new` it has also looked for the rows, in this transaction.

    A job in a queue runs where its queue says, and has the queue's retries and pauses if it brings none. It is
    refused with QueueDraining, QueueFull or QueueDuplicate; a later attempt only with QueueDuplicate. A distinct queue
    gives a job without a `distinct_slot` one from its task, else its message. With JobLimit a first attempt is refused
    whose owner has as many waiting jobs as they may have.

    Locks: the rows of the queues. Three statements, one more for the queues, and at most two more for each of them; now
    and then two for an owner (`jobs.room`).
    """
    known = {} if are_new else Job.objects.in_bulk([job.pk for job in jobs])
    fresh = [job for job in jobs if job.pk not in known]
    refusals = _refusals([job for job in fresh if job.queue_id])
    fresh = [job for job in fresh if job.pk not in refusals]
    refusals |= _over_the_limit(fresh)
    fresh = [job for job in fresh if job.pk not in refusals]
    Job.objects.bulk_create(fresh)
    record_submission(fresh, now=now, actor_of=dict(actor_of))
    return [known.get(job.pk) or refusals.get(job.pk) or job for job in jobs]


def _over_the_limit(jobs: Sequence[Job]) -> dict[str, AppError]:
    """Return the first attempts, the last ones of each owner, for which their owner has no room."""
    refusals: dict[str, AppError] = {}
    firsts = [job for job in jobs if job.attempt == 1]
    for owner_id in dict.fromkeys(job.owner_id for job in firsts):
        members = [job for job in firsts if job.owner_id == owner_id]
        given, limit = waiting_jobs.take(owner_id, len(members))
        for job in members[given:]:
            refusals[job.pk] = JobLimit(params={"limit": limit}, retry_after_seconds=_AGAIN_AFTER_SECONDS)
    return refusals


def _refusals(jobs: Sequence[Job]) -> dict[str, AppError]:
    """Fit each job to its queue; return those that it does not take, by job id."""
    queues = lock_queues({job.queue_id for job in jobs if job.queue_id}) if jobs else {}
    refusals: dict[str, AppError] = {}
    for queue in queues.values():
        members = [job for job in jobs if job.queue_id == queue.pk]
        for job in members:
            _fit(job, queue)
        holders, waiting = _holders(queue, members), _count_waiting(queue)
        for job in members:
            refusal = _refusal(job, queue, holders, waiting)
            if refusal is not None:
                refusals[job.pk] = refusal
                continue
            waiting += 1
            if job.distinct_slot:
                holders[job.distinct_slot] = job.pk
    return refusals


def _fit(job: Job, queue: Queue) -> None:
    job.agent_id = queue.agent_id
    if job.attempt == 1:
        job.retries = job.retries or queue.retries
        job.backoff = job.backoff or queue.backoff
    if queue.distinct and not job.distinct_slot:
        job.distinct_slot = slot_of(job.task or job.message)


def _refusal(job: Job, queue: Queue, holders: Mapping[str, str], waiting: int) -> AppError | None:
    if job.attempt == 1 and queue.state == QueueState.DRAINING:
        return QueueDraining(params={"name": queue.name})
    if job.distinct_slot and (holder := holders.get(job.distinct_slot)):
        return QueueDuplicate(name=queue.name, job_id=holder)
    if job.attempt == 1 and queue.length_limit is not None and waiting >= queue.length_limit:
        return QueueFull(params={"name": queue.name, "limit": queue.length_limit}, retry_after_seconds=1)
    return None


def _holders(queue: Queue, jobs: Sequence[Job]) -> dict[str, str]:
    """Return the live job of each slot that these jobs want.

    The rows are read without a lock, so this never waits for a transaction that moves a job; an end counts once it is
    committed.
    """
    slots = {job.distinct_slot for job in jobs if job.distinct_slot}
    rows = Job.objects.filter(queue=queue, distinct_slot__in=slots) if slots else Job.objects.none()
    return {slot: job_id for slot, job_id in rows.values_list("distinct_slot", "pk") if slot}


def _count_waiting(queue: Queue) -> int:
    """Return how many jobs wait in a queue that has a limit on it; one that is being claimed right now still counts."""
    return 0 if queue.length_limit is None else Job.objects.waiting().filter(queue=queue).count()
