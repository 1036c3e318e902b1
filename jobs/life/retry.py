"""T8: what has failed is tried again as a new row with a new id, and is a dead letter when no try is left.

The id of an attempt fences: a late word about the first cannot end the second.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from jobs.life.insert import insert_jobs, new_job
from jobs.models import Job
from jobs.order import Backoff, JobOrder
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove
from kernel.ids import occurrence_id

CANCELED_REASON = "canceled"
"""The reason that an agent reports when it ended a command because the owner canceled the job."""

_JITTER = 0.2
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 3600.0
_ACTOR = "retry"


def pause_seconds(backoff: Backoff | None, attempt: int, *, chance: Callable[[], float] = random.random) -> float:
    """Return the pause after that attempt (1 is the first), give or take a fifth.

    A table gives its entry, or its last one beyond its end; a formula gives `base * factor^(attempt - 1)`, at most
    `limit`; without either the pauses are 5, 10, 20, ... seconds, at most an hour. `chance` gives a number from 0 to 1.
    """
    if isinstance(backoff, list):
        seconds = backoff[min(attempt, len(backoff)) - 1]
    elif backoff is not None:
        seconds = _grown(backoff["base"], backoff["factor"], attempt, backoff["limit"])
    else:
        seconds = _grown(_FIRST_SECONDS, 2, attempt, _LONGEST_SECONDS)
    return seconds * (1 - _JITTER + 2 * _JITTER * chance())


def _grown(base: float, factor: float, attempt: int, limit: float) -> float:
    return min(limit, base * factor ** (attempt - 1))


def has_failed(one: JobMove) -> bool:
    """Tell whether a move is a failure for the owner: not their own cancel, and not a late result."""
    if one.after == JobStatus.FAILED and one.move == Move.FINISH:
        return one.output is None or one.output.reason != CANCELED_REASON
    return one.after == JobStatus.EXPIRED


def next_attempt_at(one: JobMove, now: dt.datetime) -> dt.datetime | None:
    """Return when the job that has failed is tried again, None where it is not.

    A job that expired after it was handed out may have run: it is retried only if it is idempotent. A job that expired
    before any agent claimed it is not retried, and neither is one whose next attempt would begin after `expires_at`.
    """
    job = one.job
    may = one.move == Move.FINISH or (one.move == Move.LEASE_END and job.idempotent)
    if not (job.retries and may):
        return None
    at = now + dt.timedelta(seconds=pause_seconds(job.backoff, job.attempt))
    return None if job.expires_at is not None and at >= job.expires_at else at


def retry_failed(moved: Sequence[JobMove], now: dt.datetime) -> set[str]:
    """Put the next attempts in the transaction of the failures; return the ids of the jobs that are tried again.

    Without an attempt left, jobs of queues and those that had retries become dead letters. A late success takes a job
    off the dead letters.
    """
    failed = [one for one in moved if has_failed(one)]
    again = [(one, at) for one in failed if (at := next_attempt_at(one, now))]
    tried = _insert([new_attempt(one.job, at, now=now, slot=one.slot) for one, at in again], now) if again else set()
    retried = {one.job.pk for one, _at in again if attempt_id(one.job) in tried}
    dead = [one.job for one in failed if one.job.pk not in retried and _is_kept(one.job)]
    saved = [one.job for one in moved if one.after == JobStatus.SUCCEEDED and one.job.parked_at is not None]
    for jobs, parked_at in ((dead, now), (saved, None)):
        if jobs:
            park(jobs, parked_at)
    return retried


def park(jobs: Sequence[Job], parked_at: dt.datetime | None) -> None:
    """Make these jobs dead letters, or with None no dead letters any more. No move: they stay as they ended."""
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(parked_at=parked_at)
    for job in jobs:
        job.parked_at = parked_at


def attempt_id(job: Job) -> str:
    """Return the id of the attempt after this one, the same however often it is asked for."""
    return occurrence_id(job.root_id, f"attempt:{job.attempt + 1}")


def _insert(attempts: Sequence[Job], now: dt.datetime) -> set[str]:
    """Return the ids of those that are there now: a queue refuses one whose distinct slot is another's."""
    inserted = insert_jobs(attempts, now=now, actor_of=dict.fromkeys((job.pk for job in attempts), _ACTOR))
    return {job.pk for job in inserted if isinstance(job, Job)}


def _is_kept(job: Job) -> bool:
    return job.queue_id is not None or job.attempt > 1 or job.retries > 0


def new_attempt(job: Job, at: dt.datetime, *, now: dt.datetime, slot: str | None, retries: int | None = None) -> Job:
    """Return the next attempt of a job, unsaved, with all of its options. `slot` is the distinct slot that it held;
    `retries`, how many more may follow: one less than before. The time until which it may wait stays the same."""
    more = max(0, job.retries - 1) if retries is None else retries
    attempt = new_job(
        replace(JobOrder.of(job), retries=more),
        job_id=attempt_id(job),
        owner_id=job.owner_id,
        agent_id=job.agent_id,
        queue_id=job.queue_id,
        now=now,
        active_at=at,
        parent_id=job.parent_id,
    )
    attempt.root_id, attempt.attempt = job.root_id, job.attempt + 1
    attempt.distinct_slot, attempt.expires_at = slot or attempt.distinct_slot, job.expires_at
    return attempt
