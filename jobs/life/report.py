"""T3, T4, T4b: an agent reports progress or the end of a job. The first end wins."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import models, transaction

from jobs.life.claim import later_lease
from jobs.models import Job, JobEvent
from jobs.states import ACTIVE, JobStatus, Move
from jobs.transitions import JobMove, Output, lock_jobs, move_jobs
from kernel.clock import database_now
from kernel.errors import AppError, JobCanceled, JobFinished, JobNotFound, JobTaken, NotFound
from kernel.ids import is_id, new_id

LATE_DAYS = 7


class ReportKind(models.TextChoices):
    """The kind of a report: the last segment of the path of its call."""

    RUNNING = "running"
    SUCCEED = "succeed"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report. `request_id` is made once, before the first attempt, so that a retried report counts once.

    Under protocol 2 the first `running` acknowledges the offer numbered `offer`, before the agent starts the job.
    """

    agent_id: str
    job_id: str
    kind: ReportKind
    output: Output
    protocol: int = 1
    offer: int | None = None
    request_id: str = field(default_factory=new_id)


def report_jobs(reports: Sequence[Report], *, now: dt.datetime | None = None) -> list[AppError | None]:
    """Take each report in turn; return None, or the error, for each.

    - NotFound: this agent does not have the job.
    - JobFinished: the job has ended before. One late end within seven days of an expiry is taken, and marked late.
      Under protocol 2 a repeated end is not an error.
    - JobNotFound: progress of a job that is not active, or the end of one that was not claimed.
    - JobCanceled, progress under protocol 2: the owner canceled the job.
    - JobTaken, progress under protocol 2: the offer or the lease has ended.
    """
    with transaction.atomic():
        now = now or database_now()
        seen = set(
            JobEvent.objects.filter(request_id__in=[report.request_id for report in reports]).values_list(
                "request_id", flat=True
            )
        )
        # is_id: a database that pads when it compares takes an id with a trailing blank for the id.
        jobs = lock_jobs({report.job_id for report in reports if is_id(report.job_id)})
        outcomes: list[AppError | None] = [None] * len(reports)
        waiting = [(at, report) for at, report in enumerate(reports) if report.request_id not in seen]
        while waiting:
            # Reports on one job are taken one after the other: a round moves each job at most once.
            moves: dict[str, JobMove] = {}
            later: list[tuple[int, Report]] = []
            for at, report in waiting:
                if report.job_id in moves:
                    later.append((at, report))
                    continue
                decision = _decide(report, jobs.get(report.job_id), now)
                if isinstance(decision, JobMove):
                    moves[report.job_id] = decision
                else:
                    outcomes[at] = decision
            move_jobs(list(moves.values()), now=now)
            waiting = later
    return outcomes


def _decide(report: Report, job: Job | None, now: dt.datetime) -> JobMove | AppError | None:
    """Return the move that a report makes, or the error that refuses it; None: the same end was reported before."""
    if job is None or job.agent_id != report.agent_id:
        return NotFound()
    if report.kind == ReportKind.RUNNING:
        return _decide_progress(report, job, now)
    status = JobStatus(job.status)
    after = JobStatus.SUCCEEDED if report.kind == ReportKind.SUCCEED else JobStatus.FAILED
    if status == JobStatus.QUEUING:
        return JobNotFound()
    if status == after and report.protocol > 1:
        return None
    late = status == JobStatus.EXPIRED and may_be_late(job, now)
    if status not in ACTIVE and not late:
        return JobFinished()
    return JobMove(
        job=job,
        move=Move.FINISH_LATE if late else Move.FINISH,
        after=after,
        actor=f"agent:{report.agent_id}",
        request_id=report.request_id,
        output=report.output,
    )


def _decide_progress(report: Report, job: Job, now: dt.datetime) -> JobMove | AppError:
    holds = job.status in ACTIVE and job.lease_until is not None and job.lease_until > now
    if report.protocol > 1:
        if job.cancel_requested_at is not None or job.status == JobStatus.CANCELED:
            return JobCanceled()
        if not holds or report.offer not in (None, job.offer):
            return JobTaken()
    elif not holds:
        return JobNotFound()
    return JobMove(
        job=job,
        move=Move.PROGRESS,
        after=JobStatus.RUNNING,
        actor=f"agent:{report.agent_id}",
        text=report.output.text,
        request_id=report.request_id,
        lease=later_lease(report.protocol),
    )


def may_be_late(job: Job, now: dt.datetime) -> bool:
    """Tell whether an expired job that was claimed may still end, once, within seven days of its expiry."""
    return (
        job.sent_at is not None and job.expired_at is not None and now - job.expired_at <= dt.timedelta(days=LATE_DAYS)
    )
