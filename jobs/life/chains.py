"""Followers of the end of a job: the next attempt, else the jobs that its owner ordered with `then`."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import replace

from jobs.life.insert import insert_jobs, new_job
from jobs.life.retry import has_failed, retry_failed
from jobs.models import SOURCE_LENGTH, Job
from jobs.order import JobOrder
from jobs.states import JobStatus, Move
from jobs.targets import Target, find_targets
from jobs.transitions import JobMove
from kernel.errors import AppError
from kernel.ids import occurrence_id

logger = logging.getLogger(__name__)


def follow_ends(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Observer: retry jobs that have failed, and start the followers of an end, in the transaction of that end.

    `success` follows a job that succeeded, `failure` one that has failed or expired with no attempt left. Nothing
    follows a canceled job, or a late result, whose expiry was the end. A follower whose agent or queue is gone, whose
    queue refuses it, or whose `wait_until` has passed does not start; the log says so.
    """
    retried = retry_failed(moved, now)
    ends = [(one, word) for one in moved if one.job.then and (word := _word(one)) and one.job.pk not in retried]
    started = [
        (one.job, number, follower.order)
        for one, word in ends
        for number, follower in enumerate(JobOrder.of(one.job).then)
        if follower.on == word
    ]
    if not started:
        return
    targets = find_targets([(parent.owner_id, order) for parent, _number, order in started])
    jobs = []
    for (parent, number, order), target in zip(started, targets, strict=True):
        if isinstance(target, AppError):
            _log(parent.pk, target.code)
        elif order.wait_until is not None and order.wait_until <= now:
            _log(parent.pk, "wait_until has passed")
        else:
            jobs.append(_job(parent, number, order, target, now))
    made = insert_jobs(jobs, now=now, actor_of={job.pk: f"job:{job.parent_id}" for job in jobs})
    for job, outcome in zip(jobs, made, strict=True):
        if isinstance(outcome, AppError):
            _log(job.parent_id, outcome.code)


def _word(one: JobMove) -> str:
    if one.move == Move.FINISH and one.after == JobStatus.SUCCEEDED:
        return "success"
    return "failure" if has_failed(one) else ""


def _log(job_id: str | None, reason: str) -> None:
    logger.warning("follower not started", extra={"action": "chains.refused", "job": job_id, "error": reason})


def _job(parent: Job, number: int, order: JobOrder, target: Target, now: dt.datetime) -> Job:
    occurrence = f"then:{number}"
    return new_job(
        order if order.source else replace(order, source=f"job:{parent.pk}"[:SOURCE_LENGTH]),
        job_id=occurrence_id(parent.pk, occurrence),
        owner_id=parent.owner_id,
        agent_id=target.agent_id,
        queue_id=target.queue_id,
        now=now,
        parent_id=parent.pk,
        occurrence=occurrence,
    )
