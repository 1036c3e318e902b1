"""Queues without agents: a program of the owner takes their jobs, one by one, and says how each went."""

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
from kernel.errors import AppError, JobCanceled, JobFinished, JobTaken, NotFound, QueueNotPulled
from kernel.ids import is_id, new_id

_PROTOCOL = 2
"""As an agent's of protocol 2, a job handed out and not ended in its time is offered again."""


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


def ack_jobs(acks: Sequence[Ack], *, now: dt.datetime | None = None) -> list[Job | AppError]:
    """End each job as its program says, and return it; the same end said again is no error.

    Per item: NotFound for a job that this queue does not have; JobTaken when the offer does not hold any more, the job
    being offered again or expired a week ago; JobCanceled when its owner took it back; JobFinished after another end.
    """
    with transaction.atomic():
        now = now or database_now()
        jobs = lock_jobs({ack.job_id for ack in acks if is_id(ack.job_id)})
        outcomes: list[Job | AppError] = []
        moves: dict[str, JobMove] = {}
        for ack in acks:
            job = jobs.get(ack.job_id)
            if job is None or job.queue_id != ack.queue_id or job.owner_id != ack.owner_id:
                outcomes.append(NotFound())
                continue
            decision = JobTaken() if job.pk in moves else _decide(ack, job, now)
            if isinstance(decision, JobMove):
                moves[job.pk] = decision
            outcomes.append(decision if isinstance(decision, AppError) else job)
        move_jobs(list(moves.values()), now=now)
    return outcomes


def extend_leases(wishes: Sequence[Extension], *, now: dt.datetime | None = None) -> list[Job | AppError]:
    """Give programs longer for their jobs. No move: it writes no event.

    Per item: NotFound; JobCanceled; JobTaken where the offer or the lease does not hold any more.
    """
    with transaction.atomic():
        now = now or database_now()
        jobs = lock_jobs({wish.job_id for wish in wishes if is_id(wish.job_id)})
        outcomes: list[Job | AppError] = []
        for wish in wishes:
            job = jobs.get(wish.job_id)
            if job is None or job.queue_id != wish.queue_id:
                outcomes.append(NotFound())
            elif job.status == JobStatus.CANCELED:
                outcomes.append(JobCanceled())
            elif job.status != JobStatus.SENT or job.offer != wish.offer or (job.lease_until or now) <= now:
                outcomes.append(JobTaken())
            else:
                job.lease_until = now + wish.lease
                Job.objects.filter(pk=job.pk, status=JobStatus.SENT).update(lease_until=job.lease_until)
                outcomes.append(job)
    return outcomes


def _decide(ack: Ack, job: Job, now: dt.datetime) -> JobMove | AppError | None:
    """Return the move that the ack makes, or why it makes none; None: it was made before."""
    after = JobStatus.SUCCEEDED if ack.ok else JobStatus.FAILED
    if job.status == JobStatus.CANCELED:
        return JobCanceled()
    if job.offer != ack.offer or job.status == JobStatus.QUEUING:
        return JobTaken()
    if job.status == after:
        return None
    late = job.status == JobStatus.EXPIRED and may_be_late(job, now)
    if job.status == JobStatus.EXPIRED and not late:
        return JobTaken()
    if job.status != JobStatus.SENT and not late:
        return JobFinished()
    return JobMove(
        job=job,
        move=Move.FINISH_LATE if late else Move.FINISH,
        after=after,
        actor=ack.actor,
        request_id=ack.request_id,
        output=ack.output,
    )
