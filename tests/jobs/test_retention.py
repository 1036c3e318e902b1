"""Retention: what ended long ago goes, in small batches; what has not ended, or is needed, stays."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.models import User
from agents.models import Agent
from jobs.delayed.release import fire_delayed
from jobs.delayed.service import DelayedRef, Moment, NewDelayedJob, Stored, create_delayed
from jobs.life import retention
from jobs.life.report import ReportKind
from jobs.models import DelayedJob, DueEvaluation, Job, JobEvent, JobOutput
from jobs.states import JobStatus
from kernel.clock import database_now
from tests.factories import claim, make_agent, make_job, make_job_in, order, report

pytestmark = pytest.mark.django_db

ENDS = [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED, JobStatus.CANCELED]
UNENDED = [JobStatus.QUEUING, JobStatus.SENT, JobStatus.RUNNING]


def _sweep(**later: float) -> bool:
    return retention.delete_old(until=time.monotonic() + 60, now=database_now() + dt.timedelta(**later))


def _ended(agent: Agent, count: int = 1, **options: object) -> list[Job]:
    jobs = [make_job(agent, f"job {number}", **options) for number in range(count)]
    for _ in jobs:
        job = claim(agent)
        assert job is not None
        assert report(agent, job, ReportKind.SUCCEED, "ok") is None
    return jobs


@pytest.mark.parametrize("status", ENDS)
def test_an_ended_job_goes_after_ninety_days_with_events_and_output(status: JobStatus) -> None:
    job = make_job_in(status)
    assert not _sweep(days=89)
    assert Job.objects.filter(pk=job.pk).exists()
    assert not _sweep(days=91)
    assert not Job.objects.exists()
    assert not JobEvent.objects.exists()
    assert not JobOutput.objects.exists()


@pytest.mark.parametrize("status", UNENDED)
def test_an_unended_job_stays(status: JobStatus) -> None:
    job = make_job_in(status)
    _sweep(days=4000)
    job.refresh_from_db()
    assert job.status == status


def test_a_job_that_waited_long_is_kept_from_its_end_on() -> None:
    agent = make_agent()
    job = make_job(agent, ttl_seconds=390 * 86_400)
    long_ago = database_now() - dt.timedelta(days=300)
    Job.objects.filter(pk=job.pk).update(created_at=long_ago, active_at=long_ago)
    assert claim(agent) == job
    assert report(agent, job, ReportKind.SUCCEED, "ok") is None
    _sweep(days=1)
    assert Job.objects.filter(pk=job.pk).exists()


def test_zero_days_keep_jobs_for_ever(settings: Settings) -> None:
    settings.JOBS_KEPT_DAYS = 0
    make_job_in(JobStatus.SUCCEEDED)
    _sweep(days=4000)
    assert Job.objects.count() == 1


def test_a_job_stays_while_its_next_attempt_waits() -> None:
    agent = make_agent()
    job = make_job(agent, retries=1)
    assert claim(agent) == job
    assert report(agent, job, ReportKind.FAIL, "no") is None
    assert Job.objects.count() == 2
    _sweep(days=91)
    assert Job.objects.count() == 2


def test_a_job_stays_while_a_job_that_it_started_waits() -> None:
    agent = make_agent()
    job = make_job(agent, then=order(then=[{"on": "success", "agent": agent.name, "message": "after"}]).then)
    assert claim(agent) == job
    assert report(agent, job, ReportKind.SUCCEED, "ok") is None
    assert Job.objects.waiting().count() == 1
    _sweep(days=91)
    assert Job.objects.count() == 2


def test_a_job_stays_until_its_end_is_evaluated() -> None:
    job = make_job_in(JobStatus.SUCCEEDED)
    due = DueEvaluation.objects.create(
        owner_id=job.owner_id, job=job, number=3, after=JobStatus.SUCCEEDED, ended_at=database_now()
    )
    _sweep(days=91)
    assert Job.objects.filter(pk=job.pk).exists()
    due.delete()
    _sweep(days=91)
    assert not Job.objects.exists()


def test_the_oldest_jobs_over_the_number_go_and_what_ended_just_now_stays(settings: Settings) -> None:
    settings.JOBS_KEPT_PER_USER = 3
    agent, others = make_agent(), make_agent()
    jobs = _ended(agent, 5)
    waiting = make_job(agent)
    theirs = _ended(others, 3)
    _sweep(minutes=9)
    assert Job.objects.count() == 9
    _sweep(minutes=11)
    assert set(Job.objects.values_list("pk", flat=True)) == {
        *(job.pk for job in jobs[2:]),
        waiting.pk,
        *(job.pk for job in theirs),
    }


def test_jobs_of_staff_are_kept_whatever_their_number(settings: Settings) -> None:
    settings.JOBS_KEPT_PER_USER = 1
    agent = make_agent()
    _ended(agent, 3)
    User.objects.filter(pk=agent.owner_id).update(is_staff=True)
    _sweep(days=1)
    assert Job.objects.count() == 3
    _sweep(days=91)
    assert not Job.objects.exists()


def test_the_sweep_deletes_in_batches_and_says_that_more_is_left() -> None:
    _ended(make_agent(), 5)
    before = database_now() + dt.timedelta(days=1)
    assert [retention.delete_old_jobs(before=before, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    _ended(make_agent(), 1)
    assert retention.delete_old(until=time.monotonic(), now=before + dt.timedelta(days=90))


def test_a_delayed_job_goes_after_its_job(settings: Settings) -> None:
    agent = make_agent()
    new = NewDelayedJob(
        owner_id=agent.owner_id,
        actor="test",
        order=order(agent=agent.pk),
        moment=Moment(delay=dt.timedelta(hours=1)),
    )
    (stored,) = create_delayed([new])
    assert isinstance(stored, Stored)
    _sweep(days=400)
    assert DelayedJob.objects.count() == 1, "it is scheduled still"
    fire_delayed([DelayedRef(owner_id=agent.owner_id, delayed_id=stored.row.pk)])
    _sweep(days=91)
    assert DelayedJob.objects.count() == 1, "its job waits"
    job = claim(agent)
    assert job is not None
    assert report(agent, job, ReportKind.SUCCEED, "ok") is None
    _sweep(days=91)
    assert (DelayedJob.objects.count(), Job.objects.count()) == (0, 0)


def test_jobs_of_one_source_are_found_by_an_index() -> None:
    agent = make_agent()
    make_job(agent, source="ci")
    rows = Job.objects.filter(owner_id=agent.owner_id, source="ci").order_by("-created_at", "-id")
    with CaptureQueriesContext(connection):
        assert "job_by_time_source" in rows.explain()
