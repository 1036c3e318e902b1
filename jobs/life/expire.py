"""The upstream program's word that a job is over."""

from __future__ import annotations

import datetime as dt

from accounts.credentials import SYSTEM_ACTOR
from jobs.models import Job
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.errors import JobFinished, NotFound
from kernel.ids import is_id
from kernel.transactions import run_transaction


def expire_job(job_id: str, *, now: dt.datetime | None = None) -> Job:
    """Let a job expire, whether it waits or is with an agent, as if its time were over; return it.

    Raises NotFound, and JobFinished for a job that has ended otherwise.
    """

    def expire() -> Job:
        job = lock_jobs({job_id} if is_id(job_id) else ()).get(job_id)
        if job is None:
            raise NotFound
        if job.is_terminal and job.status != JobStatus.EXPIRED:
            raise JobFinished
        if not job.is_terminal:
            move = Move.WAIT_END if job.status == JobStatus.QUEUING else Move.LEASE_END
            move_jobs(
                [JobMove(job=job, move=move, after=JobStatus.EXPIRED, actor=SYSTEM_ACTOR)], now=now or database_now()
            )
        return job

    return run_transaction(expire)
