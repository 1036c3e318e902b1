"""T3, T4, T4b: reports of an agent in every status of a job."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from jobs.life.report import Report, ReportKind, report_jobs
from jobs.models import Job, JobOutput
from jobs.states import JobStatus
from jobs.transitions import Output
from kernel.clock import database_now
from kernel.errors import AppError, JobFinished, JobNotFound, NotFound
from kernel.ids import new_id
from kernel.text import OUTPUT_BYTES
from tests.factories import claim, make_agent, make_expired, make_job, make_job_in, report

pytestmark = pytest.mark.django_db

_RUN, _OK, _NO = ReportKind.RUNNING, ReportKind.SUCCEED, ReportKind.FAIL
_S = JobStatus

MATRIX: dict[tuple[JobStatus, ReportKind], type[AppError] | JobStatus] = {
    (_S.QUEUING, _RUN): JobNotFound,
    (_S.QUEUING, _OK): JobNotFound,
    (_S.QUEUING, _NO): JobNotFound,
    (_S.SENT, _RUN): _S.RUNNING,
    (_S.SENT, _OK): _S.SUCCEEDED,
    (_S.SENT, _NO): _S.FAILED,
    (_S.RUNNING, _RUN): _S.RUNNING,
    (_S.RUNNING, _OK): _S.SUCCEEDED,
    (_S.RUNNING, _NO): _S.FAILED,
    (_S.SUCCEEDED, _RUN): JobNotFound,
    (_S.SUCCEEDED, _OK): JobFinished,
    (_S.SUCCEEDED, _NO): JobFinished,
    (_S.FAILED, _RUN): JobNotFound,
    (_S.FAILED, _OK): JobFinished,
    (_S.FAILED, _NO): JobFinished,
    (_S.EXPIRED, _RUN): JobNotFound,
    (_S.EXPIRED, _OK): _S.SUCCEEDED,
    (_S.EXPIRED, _NO): _S.FAILED,
    (_S.CANCELED, _RUN): JobNotFound,
    (_S.CANCELED, _OK): JobFinished,
    (_S.CANCELED, _NO): JobFinished,
}


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("kind", ReportKind)
def test_every_report_in_every_state(status: JobStatus, kind: ReportKind) -> None:
    agent = make_agent()
    job = make_job_in(status, agent)
    outcome = report(agent, job, kind)
    expected = MATRIX[status, kind]
    job.refresh_from_db()
    if isinstance(expected, JobStatus):
        assert (outcome, job.status) == (None, expected)
        assert job.late == (status == JobStatus.EXPIRED)
    else:
        assert (type(outcome), job.status) == (expected, status)


@pytest.mark.parametrize("kind", ReportKind)
def test_a_sibling_agent_does_not_have_the_job(kind: ReportKind) -> None:
    agent = make_agent()
    sibling = make_agent(owner=agent.owner)
    job = make_job_in(JobStatus.SENT, agent)
    assert isinstance(report(sibling, job, kind), NotFound)
    job.refresh_from_db()
    assert job.status == JobStatus.SENT


def test_progress_renews_the_lease_and_keeps_its_text() -> None:
    agent = make_agent()
    job = make_job_in(JobStatus.SENT, agent)
    later = database_now() + dt.timedelta(seconds=500)
    assert report(agent, job, _RUN, "40 %", now=later) is None
    job.refresh_from_db()
    assert job.lease_until == later + dt.timedelta(seconds=600)
    assert job.events.order_by("number").values_list("text", flat=True)[2] == "40 %"


def test_progress_after_the_lease_is_too_late_but_the_end_is_not() -> None:
    agent = make_agent()
    job = make_job_in(JobStatus.SENT, agent)
    later = database_now() + dt.timedelta(seconds=601)
    assert isinstance(report(agent, job, _RUN, now=later), JobNotFound)
    assert report(agent, job, _OK, now=later) is None


def test_a_late_end_counts_once_and_only_for_seven_days() -> None:
    agent = make_agent()
    job = make_job(agent)
    make_expired(agent, job)
    assert isinstance(report(agent, job, _OK, now=database_now() + dt.timedelta(days=7, seconds=1)), JobFinished)
    assert report(agent, job, _OK, "late", now=database_now() + dt.timedelta(days=6)) is None
    assert isinstance(report(agent, job, _NO), JobFinished)
    job.refresh_from_db()
    assert (job.status, job.late, job.output.result) == (JobStatus.SUCCEEDED, True, "late")


def test_a_job_that_was_never_claimed_has_no_late_end() -> None:
    agent = make_agent()
    job = make_job(agent)
    Job.objects.update(status=JobStatus.EXPIRED, expired_at=database_now())
    assert isinstance(report(agent, job, _OK), JobFinished)


def test_a_report_tried_again_is_answered_as_before() -> None:
    agent = make_agent()
    job = make_job_in(JobStatus.SENT, agent)
    one = Report(agent_id=agent.pk, job_id=job.pk, kind=_OK, output=Output(text="x"))
    assert report_jobs([one]) == report_jobs([one]) == [None]
    assert JobOutput.objects.count() == 1


def test_three_reports_on_one_job_in_one_batch_are_taken_in_turn() -> None:
    agent = make_agent()
    job = make_job_in(JobStatus.SENT, agent)
    said = Report(agent_id=agent.pk, job_id=job.pk, kind=_RUN, output=Output(text="x"))
    reports = [replace(said, kind=kind, output=Output(text=kind), request_id=new_id()) for kind in (_RUN, _NO, _OK)]
    outcomes = report_jobs(reports)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), JobFinished]
    job.refresh_from_db()
    assert (job.status, job.output.result) == (JobStatus.FAILED, "fail")
    assert list(job.events.order_by("number").values_list("number", "after")) == [
        (1, "queuing"),
        (2, "sent"),
        (3, "running"),
        (4, "failed"),
    ]


def test_a_huge_result_is_kept_head_and_tail_and_never_cut_inside_a_character() -> None:
    agent = make_agent()
    job = make_job_in(JobStatus.SENT, agent)
    text = "头" + "好" * 2_000_000 + "尾"
    assert report(agent, job, _OK, text) is None
    output = JobOutput.objects.get()
    assert len(output.text.encode()) <= OUTPUT_BYTES
    assert (output.text[0], output.text[-1], output.truncated) == ("头", "尾", True)
    assert output.size_bytes == len(text.encode())
    assert "\ufffd" not in output.text
    assert output.result == text[:1024]


def test_the_queries_of_a_batch_do_not_grow_with_it(django_assert_max_num_queries: pytest.FixtureRequest) -> None:
    agent = make_agent()
    jobs = []
    for _ in range(20):
        make_job(agent)
        job = claim(agent)
        assert job is not None
        jobs.append(job)
    reports = [Report(agent_id=agent.pk, job_id=job.pk, kind=_OK, output=Output()) for job in jobs]
    now = database_now()
    # Savepoint, earlier attempts, lock, compare-and-swap, outputs, events, the owners' channels, release.
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        report_jobs(reports, now=now)
