"""T7: an owner takes a job back; jobs of an agent or a user that is gone end as canceled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable

from django.db import transaction

from jobs.models import Job
from jobs.querysets import JobQuerySet
from jobs.states import ACTIVE, WAITING, JobStatus, Move
from jobs.transitions import JobMove, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.errors import JobFinished, NotFound
from kernel.ids import is_id
from kernel.transactions import run_transaction

_BATCH = 500


def cancel_job(*, owner_id: str, job_id: str, actor: str, now: dt.datetime | None = None) -> Job:
    """Cancel a job that has not started; ask the agent to end one that has. Return it as it then is.

    Raises NotFound for a job that this owner does not have, JobFinished for one that ended otherwise. A job that was
    sent and not acknowledged has not started under protocol 2; under protocol 1 nothing tells, so its agent is asked.
    """

    def cancel() -> Job:
        job = lock_jobs({job_id} if is_id(job_id) else ()).get(job_id)
        if job is None or job.owner_id != owner_id:
            raise NotFound
        if job.is_terminal and job.status != JobStatus.CANCELED:
            raise JobFinished
        _cancel_locked([job], actor, now or database_now())
        return job

    return run_transaction(cancel)


def cancel_live_jobs(ids: Collection[str], *, actor: str, now: dt.datetime) -> None:
    """Cancel those of these jobs that have not ended, as `cancel_job` does, in the caller's transaction."""
    _cancel_locked(lock_jobs(ids).values(), actor, now)


def _cancel_locked(jobs: Iterable[Job], actor: str, now: dt.datetime) -> None:
    moves = [moved for job in jobs if not job.is_terminal and (moved := _cancel_move(job, actor)) is not None]
    move_jobs(moves, now=now)


def _cancel_move(job: Job, actor: str) -> JobMove | None:
    """Return how a live job is canceled; None where its agent was asked before."""
    if job.status == JobStatus.QUEUING or (job.status == JobStatus.SENT and job.protocol > 1):
        return JobMove(job=job, move=Move.CANCEL, after=JobStatus.CANCELED, actor=actor)
    if job.cancel_requested_at is not None:
        return None
    return JobMove(job=job, move=Move.ASK_CANCEL, after=JobStatus(job.status), actor=actor)


def cancel_jobs_of_agent(agent_id: str, actor: str, now: dt.datetime) -> None:
    """End every waiting and active job of an agent that was deleted or disabled, in the caller's transaction."""
    _remove(Job.objects.filter(agent_id=agent_id, status__in=WAITING | ACTIVE), actor, now)


def cancel_jobs_of_user(user_id: str, now: dt.datetime) -> None:
    """End every waiting and active job of a frozen user, in the caller's transaction."""
    _remove(Job.objects.filter(owner_id=user_id, status__in=WAITING | ACTIVE), "staff", now)


def _remove(rows: JobQuerySet, actor: str, now: dt.datetime) -> None:
    with transaction.atomic():
        while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:_BATCH]):
            jobs = [job for job in lock_jobs(ids).values() if job.status in WAITING | ACTIVE]
            move_jobs(
                [JobMove(job=job, move=Move.REMOVE, after=JobStatus.CANCELED, actor=actor) for job in jobs], now=now
            )
