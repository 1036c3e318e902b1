"""T2: an agent takes its next job. A job is handed out once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection, transaction

from jobs.models import Job, JobEvent
from jobs.queues.dispatch import Line, queues_of_agent, queues_with_work
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.failpoints import reach
from kernel.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A poll that wants a job. `request_id` is made once, before the first attempt: a repeated claim gets the same job.

    Protocol 2 is that of an agent that acknowledges jobs before it starts them, and beats while it runs them.
    `in_queues` is False for an agent that no queue holds work for.
    """

    agent_id: str
    protocol: int = 1
    in_queues: bool = True
    request_id: str = field(default_factory=new_id)


def claim_jobs(claims: Sequence[Claim], *, now: dt.datetime | None = None) -> list[Job | None]:
    """Hand each claim the oldest due job of its agent by (active_at, id), or None.

    A queue whose first job is older comes first, if it has room (`jobs.queues.dispatch`); a job of a group's queue
    becomes this agent's.
    Two claims of one agent get two jobs. The rows are locked with SKIP LOCKED, so that another gateway's claim for the
    same agent is not waited for. The claimed job carries a lease of LEASE_SECONDS; under protocol 2 one of ACK_SECONDS,
    after which it is offered again.
    """
    with transaction.atomic():
        now = now or database_now()
        before = taken_before([claim.request_id for claim in claims])
        line = Line(now) if any(claim.in_queues for claim in claims) else None
        taken: set[str] = set()
        outcomes: list[Job | None] = []
        moves: list[JobMove] = []
        for claim in claims:
            job = before.get(claim.request_id)
            if job is None and (job := _next_job(claim, taken, line, now)):
                actor = f"agent:{claim.agent_id}"
                taken.add(job.pk)
                moves.append(
                    JobMove(
                        job=job,
                        move=Move.CLAIM,
                        after=JobStatus.SENT,
                        actor=actor,
                        request_id=claim.request_id,
                        lease=first_lease(claim.protocol),
                        protocol=claim.protocol,
                        agent_id=claim.agent_id if job.agent_id is None else None,
                    )
                )
            outcomes.append(job)
        move_jobs(moves, now=now)
    return outcomes


def first_lease(protocol: int) -> dt.timedelta:
    """Return how long an agent has from a claim to its first word."""
    return dt.timedelta(seconds=settings.ACK_SECONDS if protocol > 1 else settings.LEASE_SECONDS)


def later_lease(protocol: int) -> dt.timedelta:
    """Return how long an agent has from one word to the next."""
    return dt.timedelta(seconds=settings.BEAT_LEASE_SECONDS if protocol > 1 else settings.LEASE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """A claim whose answer did not leave: its job was not started and may be offered again."""

    request_id: str


def put_back_jobs(returned: Sequence[PutBack], *, now: dt.datetime | None = None) -> list[None]:
    """Let the jobs of these claims wait again, where they still are as the claim left them."""
    with transaction.atomic():
        now = now or database_now()
        ids = [item.request_id for item in returned]
        claimed = {event.job_id: event for event in JobEvent.objects.filter(request_id__in=ids, move=Move.CLAIM)}
        moves = []
        for job in lock_jobs(claimed).values():
            asked = 0 if job.cancel_requested_at is None else 1
            if job.status == JobStatus.SENT and job.events_count == claimed[job.pk].number + asked:
                moves.append(offer_again(job, actor="gateway"))
        move_jobs(moves, now=now)
        reach("put_back.before_commit")
    return [None] * len(returned)


def offer_again(job: Job, *, actor: str) -> JobMove:
    """Return the move of a job that was handed out and not started: it waits again, or ends as its owner asked."""
    if job.cancel_requested_at is not None:
        return JobMove(job=job, move=Move.CANCEL, after=JobStatus.CANCELED, actor=actor)
    # A job of a group's queue, or of one without agents, may go to another agent this time.
    new_agent_id = "" if job.queue is not None and job.queue.agent_id is None else None
    return JobMove(job=job, move=Move.REOFFER, after=JobStatus.QUEUING, actor=actor, agent_id=new_agent_id)


def taken_before(request_ids: Sequence[str]) -> dict[str, Job]:
    """Return the jobs that an earlier attempt of the same claims took and committed, by request id."""
    events = JobEvent.objects.select_related("job").filter(request_id__in=request_ids)
    return {event.request_id or "": event.job for event in events}


def _next_job(claim: Claim, taken: set[str], line: Line | None, now: dt.datetime) -> Job | None:
    """Return the job to hand out, locked: one in no queue, or that of a queue whose first job is older."""
    rows = Job.objects.claimable(now).filter(agent_id=claim.agent_id, queue=None)
    if taken:
        rows = rows.exclude(pk__in=taken)
    plain = rows.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked).first()
    if line is None or not claim.in_queues:
        return plain
    for queue, due_at in queues_with_work(queues_of_agent(claim.agent_id), now):
        if plain is not None and plain.active_at <= due_at:
            break
        if job := line.lock_next(queue.pk):
            return job
    return plain


def may_have_work(agent_id: str, *, in_queues: bool) -> bool:
    """Tell, without a lock, whether a claim of this agent could find a job."""
    now = database_now()
    plain = Job.objects.claimable(now).filter(agent_id=agent_id, queue=None)
    return plain.exists() or bool(in_queues and queues_with_work(queues_of_agent(agent_id), now))
