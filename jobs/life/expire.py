"""The upstream program's word that a job is over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import transaction

from accounts.credentials import SYSTEM_ACTOR
from jobs.models import Job
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.errors import AppError, JobFinished, NotFound
from kernel.ids import is_id


def expire_jobs(ids: Sequence[str], *, now: dt.datetime | None = None) -> list[Job | AppError]:
    """Let jobs expire, whether they wait or are with an agent, as if their time were over.

    Per item: NotFound; JobFinished for one that ended otherwise, whose result stands.
    """
    with transaction.atomic():
        now = now or database_now()
        jobs = lock_jobs({job_id for job_id in ids if is_id(job_id)})
        move_jobs([_over(job) for job in jobs.values() if not job.is_terminal], now=now)
    return [_outcome(jobs.get(job_id)) for job_id in ids]


def _over(job: Job) -> JobMove:
    move = Move.WAIT_END if job.status == JobStatus.QUEUING else Move.LEASE_END
    return JobMove(job=job, move=move, after=JobStatus.EXPIRED, actor=SYSTEM_ACTOR)


def _outcome(job: Job | None) -> Job | AppError:
    if job is None:
        return NotFound()
    return job if job.status == JobStatus.EXPIRED else JobFinished()
