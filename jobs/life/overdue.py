"""T5 and the timed half of T6: leases and waits that are over."""

from __future__ import annotations

import datetime as dt

from jobs.life.claim import offer_again
from jobs.life.upkeep import is_shift_pending
from jobs.models import Job
from jobs.states import ACTIVE, JobStatus, Move
from jobs.transitions import JobMove, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.transactions import named_transaction

SWEEP_LIMIT = 500
OFFERS_LIMIT = 20
"""A job that its agent never acknowledges is offered that often: ten minutes, as long as old agents have."""


def expire_overdue_jobs(*, limit: int = SWEEP_LIMIT, now: dt.datetime | None = None) -> int:
    """Expire at most `limit` jobs whose lease or whose wait is over; return how many.

    A job without the acknowledgement that its agent owes was not started, so it is offered again.

    Returns no jobs while no gateway is alive, because no agent could report. The jobs are found without a lock, then
    locked and checked again, so that a result in between wins.
    """
    with named_transaction("overdue"):
        now = now or database_now()
        if is_shift_pending(now):
            return 0
        ids = [*Job.objects.lease_over(now).values_list("pk", flat=True)[:limit]]
        ids += Job.objects.wait_over(now).values_list("pk", flat=True)[: limit - len(ids)]
        moves = []
        for job in lock_jobs(ids).values():
            if job.status in ACTIVE and job.lease_until is not None and job.lease_until < now:
                if job.status == JobStatus.SENT and job.protocol > 1 and job.offer < OFFERS_LIMIT:
                    moves.append(offer_again(job, actor="sweep"))
                else:
                    moves.append(JobMove(job=job, move=Move.LEASE_END, after=JobStatus.EXPIRED, actor="sweep"))
            elif job.status == JobStatus.QUEUING and job.expires_at is not None and job.expires_at < now:
                moves.append(JobMove(job=job, move=Move.WAIT_END, after=JobStatus.EXPIRED, actor="sweep"))
        move_jobs(moves, now=now)
    return len(moves)
