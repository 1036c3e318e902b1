"""Acknowledgments, offers, heartbeats and cancels with a given time."""

from __future__ import annotations

import datetime as dt

import pytest

from agents.models import Agent
from jobs.life.beat import Beat, beat_jobs
from jobs.life.cancel import cancel_job
from jobs.life.claim import Claim, PutBack, claim_jobs, put_back_jobs
from jobs.life.overdue import OFFERS_LIMIT, expire_overdue_jobs
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.models import Job, JobOutput
from jobs.states import JobStatus
from jobs.transitions import Output
from kernel.clock import database_now
from kernel.errors import AppError, JobCanceled, JobFinished, JobTaken
from tests.factories import gateway_alive, make_agent, make_job

pytestmark = pytest.mark.django_db


def _after(seconds: float) -> dt.datetime:
    moment = database_now() + dt.timedelta(seconds=seconds)
    gateway_alive(now=moment)
    return moment


def _claim(agent: Agent, now: dt.datetime | None = None) -> Job | None:
    (job,) = claim_jobs([Claim(agent_id=agent.pk, protocol=2)], now=now)
    return job


def _report(
    agent: Agent, job: Job, kind: ReportKind, offer: int | None = None, now: dt.datetime | None = None
) -> AppError | None:
    (outcome,) = report_jobs(
        [Report(agent_id=agent.pk, job_id=job.pk, kind=kind, output=Output(), protocol=2, offer=offer)], now=now
    )
    return outcome


def _status(job: Job) -> str:
    return str(Job.objects.get(pk=job.pk).status)


def test_unacknowledged_job_is_offered_again_and_the_old_offer_is_dead() -> None:
    agent = make_agent()
    job = make_job(agent)
    assert _claim(agent) == job
    assert expire_overdue_jobs(now=_after(29)) == 0
    later = _after(31)
    assert expire_overdue_jobs(now=later) == 1
    assert _status(job) == JobStatus.QUEUING
    assert isinstance(_report(agent, job, ReportKind.RUNNING, 1, later), JobTaken)
    again = _claim(agent, later)
    assert again is not None
    assert (again.pk, again.offer) == (job.pk, 2)
    assert isinstance(_report(agent, job, ReportKind.RUNNING, 1, later), JobTaken)
    assert _report(agent, job, ReportKind.RUNNING, 2, later) is None
    assert _status(job) == JobStatus.RUNNING


def test_a_job_that_is_never_acknowledged_ends() -> None:
    agent = make_agent()
    job = make_job(agent)
    now = database_now()
    for offer in range(1, OFFERS_LIMIT + 1):
        taken = _claim(agent, now)
        assert taken is not None
        assert taken.offer == offer
        now += dt.timedelta(seconds=31)
        gateway_alive(now=now)
        assert expire_overdue_jobs(now=now) == 1
    assert _status(job) == JobStatus.EXPIRED


def test_an_old_agents_job_is_never_offered_again() -> None:
    agent = make_agent()
    job = make_job(agent)
    claim_jobs([Claim(agent_id=agent.pk)])
    assert expire_overdue_jobs(now=_after(599)) == 0
    assert expire_overdue_jobs(now=_after(601)) == 1
    assert _status(job) == JobStatus.EXPIRED


def test_beats_keep_a_lease_and_silence_ends_it() -> None:
    agent = make_agent()
    job = make_job(agent)
    _claim(agent)
    _report(agent, job, ReportKind.RUNNING, 1)
    for minute in range(1, 31):
        now = _after(60 * minute)
        assert beat_jobs([Beat(agent_id=agent.pk, job_ids=frozenset({job.pk}))], now=now) == [[]]
        assert expire_overdue_jobs(now=now) == 0
    assert Job.objects.get(pk=job.pk).events_count == 3
    assert expire_overdue_jobs(now=_after(60 * 30 + 121)) == 1


def test_a_beat_of_another_agent_or_after_the_lease_keeps_nothing() -> None:
    agent, stranger = make_agent(), make_agent()
    job = make_job(agent)
    _claim(agent)
    _report(agent, job, ReportKind.RUNNING, 1)
    beat_jobs([Beat(agent_id=stranger.pk, job_ids=frozenset({job.pk}))], now=_after(100))
    late = _after(121)
    beat_jobs([Beat(agent_id=agent.pk, job_ids=frozenset({job.pk}))], now=late)
    assert expire_overdue_jobs(now=late) == 1


def test_a_cancel_request_survives_a_claim_that_was_put_back() -> None:
    agent = make_agent()
    job = make_job(agent)
    claim = Claim(agent_id=agent.pk)
    claim_jobs([claim])
    cancel_job(owner_id=agent.owner_id, job_id=job.pk, actor="test")
    assert _status(job) == JobStatus.SENT
    put_back_jobs([PutBack(request_id=claim.request_id)])
    assert _status(job) == JobStatus.CANCELED


def test_a_repeated_cancel_request_is_one_event_and_progress_reports_it() -> None:
    agent = make_agent()
    job = make_job(agent)
    _claim(agent)
    _report(agent, job, ReportKind.RUNNING, 1)
    for _ in range(3):
        cancel_job(owner_id=agent.owner_id, job_id=job.pk, actor="test")
    assert Job.objects.get(pk=job.pk).events_count == 4
    assert isinstance(_report(agent, job, ReportKind.RUNNING), JobCanceled)
    assert beat_jobs([Beat(agent_id=agent.pk, job_ids=frozenset({job.pk}))]) == [[job.pk]]


def test_a_repeated_end_with_another_text_is_accepted_and_the_first_text_kept() -> None:
    agent = make_agent()
    job = make_job(agent)
    assert _claim(agent) == job
    assert _report(agent, job, ReportKind.RUNNING, 1) is None
    told = [
        Report(agent_id=agent.pk, job_id=job.pk, kind=kind, output=Output(text=text), protocol=2)
        for kind, text in (
            (ReportKind.SUCCEED, "first"),
            (ReportKind.SUCCEED, "second"),
            (ReportKind.FAIL, "third"),
        )
    ]
    first, second, third = (report_jobs([report])[0] for report in told)
    assert (first, second, type(third)) == (None, None, JobFinished)
    assert (_status(job), JobOutput.objects.get(pk=job.pk).result) == (JobStatus.SUCCEEDED, "first")
