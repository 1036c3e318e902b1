"""T7: jobs of an agent or a user that is gone end as canceled."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from jobs.models import Job
from jobs.querysets import JobQuerySet
from jobs.services.moves import MovedJob, lock_jobs, move_jobs
from jobs.states import ACTIVE, WAITING, JobStatus, Move

_BATCH = 500


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
                [MovedJob(job=job, move=Move.REMOVE, after=JobStatus.CANCELED, actor=actor) for job in jobs], now=now
            )
