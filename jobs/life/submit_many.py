"""Many submissions of one caller, each with an outcome of its own."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError

from jobs.life.submit import Submission, submit_jobs
from jobs.models import Job
from kernel.alone import run_alone
from kernel.errors import AppError
from kernel.transactions import LostRace, whole

_BATCH = 250


def submit_many(wishes: Sequence[Submission | AppError]) -> list[Job | AppError]:
    """Submit the valid orders in their sequence, a few hundred in a transaction; return one outcome for each.

    A batch that loses a race is run item by item, so that one conflict fails one item only.
    """
    outcomes: list[Job | AppError] = []
    for at in range(0, len(wishes), _BATCH):
        part = wishes[at : at + _BATCH]
        made = iter(_submit([wish for wish in part if isinstance(wish, Submission)]))
        outcomes += [next(made) if isinstance(wish, Submission) else wish for wish in part]
    return outcomes


def _submit(wishes: Sequence[Submission]) -> list[Job | AppError]:
    try:
        with whole("queue.add"):
            return submit_jobs(wishes)
    except (IntegrityError, LostRace):
        return [_alone(wish) for wish in wishes]


def _alone(wish: Submission) -> Job | AppError:
    try:
        job: Job = run_alone(submit_jobs, wish)
    except AppError as error:
        return error
    return job
