"""Jobs enter the table here, whoever makes them: a call, a moment that has come, a retry, a chain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from jobs.models import Job
from jobs.services.moves import record_submission
from kernel.errors import AppError


def place_jobs(jobs: Sequence[Job], *, now: dt.datetime, actor_of: Mapping[str, str]) -> list[Job | AppError]:
    """Insert unsaved jobs in the caller's transaction and return, for each, the row there now is.

    Their ids were made before the first try: one whose row exists already is that row, and nothing happens twice.
    `actor_of`: who made it, by job id. The caller has checked owner, agent and text.
    """
    known = Job.objects.in_bulk([job.pk for job in jobs])
    fresh = [job for job in jobs if job.pk not in known]
    Job.objects.bulk_create(fresh)
    record_submission(fresh, now=now, actor_of=dict(actor_of))
    return [known.get(job.pk, job) for job in jobs]
