"""T3, T4, T4b: an agent says how a job goes or how it ended. The first end stands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import models, transaction

from jobs.models import Job, JobEvent
from jobs.services.moves import MovedJob, Output, lock_jobs, move_jobs
from jobs.states import ACTIVE, JobStatus, Move
from kernel.clock import database_now
from kernel.errors import AppError, JobFinished, JobNotFound, NotFound
from kernel.ids import is_id, new_id

LATE_DAYS = 7


class ReportKind(models.TextChoices):
    """What an agent says: the last word of the path of its call."""

    RUNNING = "running"
    SUCCEED = "succeed"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report. `request_id` is made once, before the first try: a repeated one counts once, answered alike."""

    agent_id: str
    job_id: str
    kind: ReportKind
    output: Output
    request_id: str = field(default_factory=new_id)


def report_jobs(reports: Sequence[Report], *, now: dt.datetime | None = None) -> list[AppError | None]:
    """Take each report in turn.

    Per item: NotFound for a job that this agent does not have; JobFinished for an end after the end (but one late end
    within seven days of an expiry is taken, and marked); JobNotFound for progress of a job that is not active, or an
    end of one that was never taken.
    """
    with transaction.atomic():
        now = now or database_now()
        lease = dt.timedelta(seconds=settings.LEASE_SECONDS)
        seen = set(
            JobEvent.objects.filter(request_id__in=[report.request_id for report in reports]).values_list(
                "request_id", flat=True
            )
        )
        # Databases that compare padded take an id with a blank at its end for the id.
        jobs = lock_jobs({report.job_id for report in reports if is_id(report.job_id)})
        outcomes: list[AppError | None] = [None] * len(reports)
        waiting = [(at, report) for at, report in enumerate(reports) if report.request_id not in seen]
        while waiting:
            # Reports on one job are taken one after the other: a round moves each job at most once.
            moves: dict[str, MovedJob] = {}
            later: list[tuple[int, Report]] = []
            for at, report in waiting:
                if report.job_id in moves:
                    later.append((at, report))
                    continue
                decision = _decide(report, jobs.get(report.job_id), now)
                if isinstance(decision, AppError):
                    outcomes[at] = decision
                else:
                    moves[report.job_id] = decision
            move_jobs(list(moves.values()), now=now, lease=lease)
            waiting = later
    return outcomes


def _decide(report: Report, job: Job | None, now: dt.datetime) -> MovedJob | AppError:
    """Return the move that the report makes, or why it makes none."""
    if job is None or job.agent_id != report.agent_id:
        return NotFound()
    status = JobStatus(job.status)
    actor = f"agent:{report.agent_id}"
    if report.kind == ReportKind.RUNNING:
        if status not in ACTIVE or job.lease_until is None or job.lease_until <= now:
            return JobNotFound()
        return MovedJob(
            job=job,
            move=Move.PROGRESS,
            after=JobStatus.RUNNING,
            actor=actor,
            text=report.output.text,
            request_id=report.request_id,
        )
    if status == JobStatus.QUEUING:
        return JobNotFound()
    late = status == JobStatus.EXPIRED and _may_be_late(job, now)
    if status not in ACTIVE and not late:
        return JobFinished()
    return MovedJob(
        job=job,
        move=Move.FINISH_LATE if late else Move.FINISH,
        after=JobStatus.SUCCEEDED if report.kind == ReportKind.SUCCEED else JobStatus.FAILED,
        actor=actor,
        request_id=report.request_id,
        output=report.output,
    )


def _may_be_late(job: Job, now: dt.datetime) -> bool:
    """A job that its agent did take may still tell its end, once, within seven days of its expiry."""
    return (
        job.sent_at is not None and job.expired_at is not None and now - job.expired_at <= dt.timedelta(days=LATE_DAYS)
    )
