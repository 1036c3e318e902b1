"""Queues without agents: a program of the owner pulls their jobs one by one and reports how each ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction

from jobs.life.claim import taken_before
from jobs.life.report import may_be_late
from jobs.models import Job, Queue
from jobs.queues.dispatch import Line
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove, Output, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.errors import JobCanceled, JobFinished, JobTaken, NotFound, QueueNotPulled
from kernel.ids import is_id, new_id
from kernel.transactions import run_transaction

_PROTOCOL = 2
"""As under protocol 2 of agents, a job that was handed out and did not end within its lease is offered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """A program asks for the next job of a queue. `request_id` is made once: a repeated pull gets the same job."""

    queue_id: str
    actor: str
    lease: dt.timedelta
    request_id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """A program says how a job ended. `offer` is the number that came with it: an older one does not hold."""

    owner_id: str
    queue_id: str
    job_id: str
    offer: int
    ok: bool
    output: Output
    actor: str
    request_id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A program needs longer: from now on it has `lease`."""

    queue_id: str
    job_id: str
    offer: int
    lease: dt.timedelta


def require_pulled(queue: Queue) -> None:
    """Raise QueueNotPulled for a queue that runs on agents."""
    if queue.agent_id is not None or queue.tag:
        raise QueueNotPulled(params={"name": queue.name})


def pull_jobs(pulls: Sequence[Pull], *, now: dt.datetime | None = None) -> list[Job | None]:
    """Hand each pull the first job of its queue, if the queue has room, or None. The caller knows that it is pulled."""
    with transaction.atomic():
        now = now or database_now()
        before = taken_before([pull.request_id for pull in pulls])
        line = Line(now)
        outcomes: list[Job | None] = []
        moves = []
        for pull in pulls:
            job = before.get(pull.request_id)
            if job is None and (job := line.lock_next(pull.queue_id)):
                moves.append(
                    JobMove(
                        job=job,
                        move=Move.CLAIM,
                        after=JobStatus.SENT,
                        actor=pull.actor,
                        request_id=pull.request_id,
                        lease=pull.lease,
                        protocol=_PROTOCOL,
                    )
                )
            outcomes.append(job)
        move_jobs(moves, now=now)
    return outcomes


def ack_job(ack: Ack, *, now: dt.datetime | None = None) -> Job:
    """End a pulled job as the program says, and return it; the same end again changes nothing.

    Raises NotFound for a job that this queue does not have; JobTaken where the offer does not hold any more, because
    the job was offered again or expired a week ago; JobCanceled where its owner canceled it; JobFinished after another
    end.
    """

    def end() -> Job:
        job = _lock(ack.job_id, ack.queue_id)
        if job.owner_id != ack.owner_id:
            raise NotFound
        at = now or database_now()
        if moved := _decide(ack, job, at):
            move_jobs([moved], now=at)
        return job

    return run_transaction(end)


def extend_lease(extension: Extension, *, now: dt.datetime | None = None) -> Job:
    """Give a program longer for its job, and return the job. No move: it writes no event.

    Raises NotFound; JobCanceled; JobTaken where the offer or the lease does not hold any more.
    """

    def extend() -> Job:
        job, at = _lock(extension.job_id, extension.queue_id), now or database_now()
        if job.status == JobStatus.CANCELED:
            raise JobCanceled
        if job.status != JobStatus.SENT or job.offer != extension.offer or (job.lease_until or at) <= at:
            raise JobTaken
        job.lease_until = at + extension.lease
        Job.objects.filter(pk=job.pk, status=JobStatus.SENT).update(lease_until=job.lease_until)
        return job

    return run_transaction(extend)


def _lock(job_id: str, queue_id: str) -> Job:
    """Lock and return a job of a queue; raise NotFound."""
    job = lock_jobs({job_id} if is_id(job_id) else ()).get(job_id)
    if job is None or job.queue_id != queue_id:
        raise NotFound
    return job


def _decide(ack: Ack, job: Job, now: dt.datetime) -> JobMove | None:
    """Return the move that the ack makes; None: it was made before. Raises why it makes none."""
    after = JobStatus.SUCCEEDED if ack.ok else JobStatus.FAILED
    if job.status == JobStatus.CANCELED:
        raise JobCanceled
    if job.offer != ack.offer or job.status == JobStatus.QUEUING:
        raise JobTaken
    if job.status == after:
        return None
    late = job.status == JobStatus.EXPIRED and may_be_late(job, now)
    if job.status == JobStatus.EXPIRED and not late:
        raise JobTaken
    if job.status != JobStatus.SENT and not late:
        raise JobFinished
    return JobMove(
        job=job,
        move=Move.FINISH_LATE if late else Move.FINISH,
        after=after,
        actor=ack.actor,
        request_id=ack.request_id,
        output=ack.output,
    )
