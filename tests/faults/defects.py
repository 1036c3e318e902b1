"""Servers with one realistic defect each. The checker must find every one."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from django.db import models
from django_redis import get_redis_connection

from jobs.life import report as report_service
from jobs.life.claim import Claim
from jobs.life.report import Report, ReportKind
from jobs.life.submit import Submission
from jobs.models import Job, JobEvent, JobOutput
from jobs.order import JobOrder
from jobs.states import ACTIVE, JobStatus, Move
from kernel.errors import AppError, JobFinished, Unavailable
from kernel.ids import new_id
from tests.faults.simulation import Server

_LIST = "defect:submissions"


class AnswersBeforeCommit(Server):
    """The server answers 201 before the commit."""

    def submit(self, submission: Submission, *, commits: bool = True, answered: bool = True) -> Job | AppError:
        outcome = super().submit(submission, commits=commits, answered=answered)
        return Job(id=submission.job_id) if isinstance(outcome, Unavailable) else outcome


class ExpiryOverwrites(Server):
    """Expiry overwrites a result: the sweep writes from stale rows without comparing."""

    def sweep(self, meanwhile: object) -> None:
        seen = list(Job.objects.filter(status__in=ACTIVE, lease_until__lt=self.now))
        meanwhile()  # type: ignore[operator]
        for job in seen:
            job.refresh_from_db(fields=["events_count", "status"])
            _write(self, job, Move.LEASE_END, JobStatus.EXPIRED, "sweep")
        super().sweep(lambda: None)


class AnyAgentMayFinish(Server):
    """Another agent may finish a job: a report needs only the job's id."""

    def report(self, report: Report) -> AppError | None:
        job = Job.objects.filter(pk=report.job_id).first()
        return super().report(replace(report, agent_id=job.agent_id) if job and job.agent_id else report)


class ClaimsWithoutCompare(Server):
    """A claim without compare-and-swap: two gateways read, then both write."""

    def claim_at_once(self, one: Claim, two: Claim) -> tuple[Job | None, Job | None]:
        first, second = (
            Job.objects.claimable(self.now).filter(agent_id=claim.agent_id).first() for claim in (one, two)
        )
        for job in (first, second):
            if job is not None:
                job.refresh_from_db(fields=["events_count"])
                _write(self, job, Move.CLAIM, JobStatus.SENT, f"agent:{job.agent_id}", before=JobStatus.QUEUING)
        return first, second


class RemintsIds(Server):
    """A retry creates a new id: a submission that was committed without an answer is committed twice."""

    def _submit_once(self, submission: Submission, commits: bool) -> Job | AppError:
        return super()._submit_once(replace(submission, job_id=new_id()), commits)


class BellOnly(Server):
    """Submissions are stored only in Redis until the next claim."""

    def submit(self, submission: Submission, *, commits: bool = True, answered: bool = True) -> Job | AppError:
        get_redis_connection().rpush(_LIST, json.dumps(asdict(submission)))
        return Job(id=submission.job_id)

    def claim(self, claim: Claim) -> Job | None:
        while text := get_redis_connection().lpop(_LIST):
            held = json.loads(text)
            super().submit(Submission(**held | {"order": JobOrder(**held["order"])}))
        return super().claim(claim)


class TakesTwoEnds(Server):
    """A second report with another outcome is accepted and overwrites the first."""

    def report(self, report: Report) -> AppError | None:
        outcome = super().report(report)
        if not isinstance(outcome, JobFinished):
            return outcome
        job = Job.objects.get(pk=report.job_id)
        after = JobStatus.SUCCEEDED if report.kind == ReportKind.SUCCEED else JobStatus.FAILED
        JobOutput.objects.filter(pk=job.pk).update(result=report.output.text[:1024])
        _write(self, job, Move.FINISH, after, f"agent:{report.agent_id}")
        return None


class DropsLateResults(Server):
    """A late result of an expired job is dropped."""

    def report(self, report: Report) -> AppError | None:
        honest = report_service.may_be_late
        report_service.may_be_late = lambda job, now: False
        try:
            return super().report(report)
        finally:
            report_service.may_be_late = honest


def _write(server: Server, job: Job, move: Move, after: JobStatus, actor: str, before: JobStatus | None = None) -> None:
    """Move a job with a plain UPDATE and its event, without compare-and-swap."""
    JobEvent.objects.create(
        job=job,
        number=job.events_count + 1,
        at=server.now,
        move=move,
        before=before or job.status,
        after=after,
        actor=actor,
    )
    sent = {"sent_at": server.now} if after == JobStatus.SENT else {}
    lease = server.now if after == JobStatus.SENT else None
    Job.objects.filter(pk=job.pk).update(
        status=after,
        lease_until=lease,
        events_count=models.F("events_count") + 1,
        offer=models.F("offer") + 1,
        **sent,
    )


PLANTED: dict[type[Server], str] = {
    AnswersBeforeCommit: "I1",
    ExpiryOverwrites: "I2",
    AnyAgentMayFinish: "I4",
    ClaimsWithoutCompare: "I3",
    RemintsIds: "I1",
    BellOnly: "I1",
    TakesTwoEnds: "I2",
    DropsLateResults: "I2",
}
"""Each defect and the promise it breaks."""
