"""T2: a job is claimed once, in order."""

from __future__ import annotations

import datetime as dt

import pytest

from jobs.life.claim import Claim, PutBack, claim_jobs, put_back_jobs
from jobs.life.report import ReportKind
from jobs.states import JobStatus
from kernel.clock import database_now
from tests.factories import claim, make_agent, make_job, report

pytestmark = pytest.mark.django_db


def test_jobs_start_in_the_order_in_which_they_came() -> None:
    agent = make_agent()
    jobs = [make_job(agent, str(number)) for number in range(5)]
    assert [claim(agent) for _ in range(6)] == [*jobs, None]


def test_two_claims_of_one_batch_get_two_jobs() -> None:
    agent, other = make_agent(), make_agent()
    first, second, foreign = make_job(agent), make_job(agent), make_job(other)
    claims = [Claim(agent_id=agent.pk), Claim(agent_id=other.pk), Claim(agent_id=agent.pk), Claim(agent_id=agent.pk)]
    assert claim_jobs(claims) == [first, foreign, second, None]


def test_a_claim_tried_again_gets_the_same_job() -> None:
    agent = make_agent()
    make_job(agent)
    make_job(agent)
    once = Claim(agent_id=agent.pk)
    assert claim_jobs([once]) == claim_jobs([once])
    assert agent.jobs.filter(status=JobStatus.SENT).count() == 1


def test_a_claimed_job_has_a_lease_and_an_offer() -> None:
    agent = make_agent()
    make_job(agent)
    now = database_now()
    job = claim(agent, now=now)
    assert job is not None
    job.refresh_from_db()
    assert (job.offer, job.sent_at, job.status) == (1, now, JobStatus.SENT)
    assert job.lease_until == now + dt.timedelta(seconds=600)


def test_a_job_whose_answer_was_not_sent_is_offered_again_but_never_taken_from_a_later_claim() -> None:
    agent = make_agent()
    make_job(agent)
    first, second = Claim(agent_id=agent.pk), Claim(agent_id=agent.pk)
    (job,) = claim_jobs([first])
    assert job is not None
    put_back_jobs([PutBack(request_id=first.request_id)])
    assert claim_jobs([second]) == [job]
    put_back_jobs([PutBack(request_id=first.request_id)])
    job.refresh_from_db()
    assert (job.status, job.offer) == (JobStatus.SENT, 2)


def test_a_job_that_the_agent_reported_on_is_not_put_back() -> None:
    agent = make_agent()
    make_job(agent)
    once = Claim(agent_id=agent.pk)
    (job,) = claim_jobs([once])
    assert job is not None
    assert report(agent, job, ReportKind.RUNNING) is None
    put_back_jobs([PutBack(request_id=once.request_id), PutBack(request_id="unknown")])
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING


def test_a_job_that_is_due_later_is_not_handed_out() -> None:
    agent = make_agent()
    job = make_job(agent)
    type(job).objects.update(active_at=database_now() + dt.timedelta(hours=1))
    assert claim(agent) is None
