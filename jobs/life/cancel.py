"""T7: an owner takes a job back; jobs of an agent or a user that is gone end as canceled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from jobs.models import Job
from jobs.querysets import JobQuerySet
from jobs.states import ACTIVE, WAITING, JobStatus, Move
from jobs.transitions import JobMove, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.errors import AppError, JobFinished, NotFound
from kernel.ids import is_id

_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """An owner's wish that a job should not run, or not run on."""

    owner_id: str
    job_id: str
    actor: str


def cancel_jobs(wishes: Sequence[Cancel], *, now: dt.datetime | None = None) -> list[Job | AppError]:
    """Cancel what has not started; ask the agent to end what has. Return each job as it then is.

    Per item: NotFound for a job that this owner does not have, JobFinished for one that ended otherwise. A job that
    its agent was sent but did not acknowledge has not started under protocol 2; about old agents nobody knows.
    """
    with transaction.atomic():
        now = now or database_now()
        jobs = lock_jobs({wish.job_id for wish in wishes if is_id(wish.job_id)})
        outcomes: list[Job | AppError] = []
        moves: dict[str, JobMove] = {}
        for wish in wishes:
            job = jobs.get(wish.job_id)
            if job is None or job.owner_id != wish.owner_id:
                outcomes.append(NotFound())
            elif job.is_terminal and job.status != JobStatus.CANCELED:
                outcomes.append(JobFinished())
            else:
                outcomes.append(job)
                if job.pk not in moves and not job.is_terminal and (moved := _take_back(job, wish.actor)):
                    moves[job.pk] = moved
        move_jobs(list(moves.values()), now=now)
    return outcomes


def _take_back(job: Job, actor: str) -> JobMove | None:
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
