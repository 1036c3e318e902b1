"""The heartbeat of protocol 2: it renews the leases of running jobs and brings cancel requests to the agent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from jobs.life.claim import later_lease
from jobs.models import Job
from jobs.states import ACTIVE, JobStatus
from jobs.transitions import lock_jobs
from kernel.clock import database_now

_PROTOCOL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One beat: the jobs that the agent says it runs."""

    agent_id: str
    job_ids: frozenset[str]


def beat_jobs(beats: Sequence[Beat], *, now: dt.datetime | None = None) -> list[list[str]]:
    """Renew the leases of the running jobs that are named; return, for each beat, those that must be ended.

    A lease that is over is not renewed: its job may have expired meanwhile. A renewal writes no event.
    """
    with transaction.atomic():
        now = now or database_now()
        jobs = lock_jobs({job_id for beat in beats for job_id in beat.job_ids})
        alive: list[str] = []
        outcomes: list[list[str]] = []
        for beat in beats:
            own = [
                job for job_id in sorted(beat.job_ids) if (job := jobs.get(job_id)) and job.agent_id == beat.agent_id
            ]
            alive += [job.pk for job in own if _is_alive(job, now)]
            outcomes.append([job.pk for job in own if _is_to_end(job)])
        Job.objects.filter(pk__in=alive, status=JobStatus.RUNNING).update(lease_until=now + later_lease(_PROTOCOL))
    return outcomes


def ids_to_end(beat: Beat) -> list[str]:
    """Return those of the beat's jobs that must be ended, without renewing anything."""
    jobs = Job.objects.filter(pk__in=beat.job_ids, agent_id=beat.agent_id).order_by("pk")
    return [job.pk for job in jobs if _is_to_end(job)]


def _is_alive(job: Job, now: dt.datetime) -> bool:
    return job.status == JobStatus.RUNNING and job.lease_until is not None and job.lease_until > now


def _is_to_end(job: Job) -> bool:
    return job.status == JobStatus.CANCELED or (job.status in ACTIVE and job.cancel_requested_at is not None)
