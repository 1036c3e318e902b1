"""Read a job for its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.models import Job, JobEvent, JobOutput
from kernel.errors import NotFound
from kernel.ids import is_id


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeJob:
    """A job with its output (None before its end) and its timeline, oldest first."""

    job: Job
    output: JobOutput | None
    events: Sequence[JobEvent]


def read_job(*, owner_id: str, job_id: str) -> WholeJob:
    """Return one job of the owner, its agent and queue loaded; raise NotFound. Three queries."""
    # is_id: a database that pads when it compares takes an id with a trailing blank for the id.
    rows = Job.objects.select_related("agent", "queue").filter(owner_id=owner_id, pk=job_id)
    job = rows.first() if is_id(job_id) else None
    if job is None:
        raise NotFound
    output = JobOutput.objects.filter(pk=job.pk).first()
    return WholeJob(job=job, output=output, events=list(job.events.order_by("number")))
