"""Many submissions of one caller, each with an outcome of its own."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.life.submit import Submission, submit_jobs
from jobs.models import Job
from kernel.errors import AppError
from kernel.transactions import RETRYABLE, named_transaction, run_one

_BATCH = 250


def submit_many(items: Sequence[Submission | AppError]) -> list[Job | AppError]:
    """Submit in order, a few hundred in a transaction; return one outcome for each item, an error for an error.

    A batch that loses a race is run item by item, so that one item cannot fail another.
    """
    outcomes: list[Job | AppError] = []
    for at in range(0, len(items), _BATCH):
        part = items[at : at + _BATCH]
        made = iter(_submit([item for item in part if isinstance(item, Submission)]))
        outcomes += [next(made) if isinstance(item, Submission) else item for item in part]
    return outcomes


def _submit(submissions: Sequence[Submission]) -> list[Job | AppError]:
    try:
        with named_transaction("queue.add"):
            return submit_jobs(submissions)
    except RETRYABLE:
        return [_submit_one(submission) for submission in submissions]


def _submit_one(submission: Submission) -> Job | AppError:
    try:
        job: Job = run_one(submit_jobs, submission)
    except AppError as error:
        return error
    return job
