"""A user's jobs, page by page, newest first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.querysets import Viewer
from jobs.models import Job, JobOutput
from jobs.querysets import JobQuerySet
from jobs.states import JobStatus
from kernel.keyset import slice_of

BY_TIME = "created_at"
"""The order of lists. Ids that are derived from another id do not grow with time, so the order is by creation time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """The filter of a list. None or empty means no restriction."""

    status: JobStatus | None = None
    agent_id: str | None = None
    source: str | None = None
    created_after: dt.datetime | None = None
    created_before: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Jobs with their outputs (without the text), and the id after which the next page begins; empty at the end."""

    items: Sequence[tuple[Job, JobOutput | None]]
    older_than: str


def list_jobs(*, viewer: Viewer, wanted: JobFilter, older_than: str = "", size: int) -> JobPage:
    """Return up to `size` jobs that are older than the id `older_than`, agents and queues loaded. Two queries."""
    rows = _filtered(Job.objects.visible_to(viewer).select_related("agent", "queue"), wanted)
    page = slice_of(rows, before=older_than, size=size, by=BY_TIME)
    ids = [job.pk for job in page.rows]
    outputs = {output.pk: output for output in JobOutput.objects.filter(pk__in=ids).defer("text")}
    return JobPage(items=[(job, outputs.get(job.pk)) for job in page.rows], older_than=page.older)


def count_waiting(*, viewer: Viewer) -> int:
    """Return how many of the viewer's jobs still wait."""
    return Job.objects.visible_to(viewer).waiting().count()


def _filtered(rows: JobQuerySet, wanted: JobFilter) -> JobQuerySet:
    if wanted.status is not None:
        rows = rows.filter(status=wanted.status)
    if wanted.agent_id is not None:
        rows = rows.filter(agent_id=wanted.agent_id)
    if wanted.source is not None:
        rows = rows.filter(source=wanted.source)
    if wanted.created_after is not None:
        rows = rows.filter(created_at__gt=wanted.created_after)
    if wanted.created_before is not None:
        rows = rows.filter(created_at__lt=wanted.created_before)
    return rows
