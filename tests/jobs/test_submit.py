"""T1: accepted and refused submissions."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError

from agents.services.manage import AgentChange, create_agent, delete_agent, update_agent
from jobs.life.submit import Submission, submit_jobs
from jobs.models import Job
from kernel.clock import database_now
from kernel.errors import AgentNotFound, AppError, IdempotencyMismatch, InvalidAgent, InvalidRequest
from tests.factories import make_agent, make_job, make_user, order_job, submission

pytestmark = pytest.mark.django_db


def _submit(one: Submission) -> Job | AppError:
    (outcome,) = submit_jobs([one])
    return outcome


@pytest.mark.parametrize("called", ["bar", "BAR", "ｂａｒ", "酒吧", "id"])
def test_an_agent_is_found_by_id_name_and_alias(called: str) -> None:
    owner = make_user()
    agent, _ = create_agent(owner=owner, name="Bar", alias="酒吧", actor="test")
    called = agent.pk if called == "id" else called
    outcome = _submit(order_job(owner.pk, "x", agent=called, ttl_seconds=60))
    assert isinstance(outcome, Job)
    assert outcome.agent_id == agent.pk


def test_a_foreign_agent_is_not_found() -> None:
    agent, stranger = make_agent(name="bar"), make_user()
    for called in ("bar", agent.pk):
        outcome = _submit(order_job(stranger.pk, "x", agent=called))
        assert isinstance(outcome, AgentNotFound)
    assert not Job.objects.exists()


def test_a_plain_job_for_an_offline_agent_is_refused_and_one_that_may_wait_waits() -> None:
    agent = make_agent(online=False)
    assert isinstance(_submit(submission(agent)), InvalidAgent)
    later = database_now() + dt.timedelta(hours=1)
    for may_wait in (submission(agent, ttl_seconds=60), submission(agent, wait_until=later)):
        assert isinstance(_submit(may_wait), Job)
    assert Job.objects.filter(expires_at=None).count() == 0


def test_a_disabled_agent_takes_no_job_and_a_deleted_one_is_not_there() -> None:
    agent = make_agent()
    update_agent(agent=agent, change=AgentChange(enabled=False), actor="test")
    assert isinstance(_submit(submission(agent, ttl_seconds=60)), InvalidAgent)
    delete_agent(agent=agent, actor="test", force=True)
    assert isinstance(_submit(submission(agent)), AgentNotFound)


@pytest.mark.parametrize("days", [-1, 0, 401])
def test_a_wait_in_the_past_or_too_far_is_refused(days: int) -> None:
    until = database_now() + dt.timedelta(days=days, seconds=-1)
    assert isinstance(_submit(submission(make_agent(), wait_until=until)), InvalidRequest)


def test_one_key_makes_one_job() -> None:
    agent = make_agent()
    first = _submit(submission(agent, idempotency_key="k"))
    again = _submit(submission(agent, idempotency_key="k"))
    assert isinstance(first, Job)
    assert again == first
    assert isinstance(_submit(submission(agent, "other", idempotency_key="k")), IdempotencyMismatch)
    assert isinstance(_submit(submission(agent, idempotency_key="K")), Job)
    assert Job.objects.count() == 2


def test_one_key_in_one_batch_makes_one_job() -> None:
    agent = make_agent()
    outcomes = submit_jobs([submission(agent, idempotency_key="k") for _ in range(3)])
    assert len({job.pk for job in outcomes if isinstance(job, Job)}) == 1
    assert Job.objects.count() == 1


def test_keys_of_two_owners_are_independent() -> None:
    jobs = {_submit(submission(make_agent(), idempotency_key="k")) for _ in range(2)}
    assert len(jobs) == 2


def test_the_same_submission_tried_again_finds_its_own_job() -> None:
    one = submission(make_agent())
    assert _submit(one) == _submit(one)
    assert Job.objects.get().events.count() == 1


def test_a_refusal_in_a_batch_does_not_affect_the_others() -> None:
    agent = make_agent()
    wrong = order_job(agent.owner_id, "x", agent="nobody")
    outcomes = submit_jobs([submission(agent), wrong, submission(agent)])
    assert [type(outcome) for outcome in outcomes] == [Job, AgentNotFound, Job]


def test_a_key_that_another_transaction_won_shows_as_integrity_error() -> None:
    """The race: the row appears after the check. The unique constraint refuses; a retry would find it."""
    agent = make_agent()
    job = make_job(agent, idempotency_key="k")
    with pytest.raises(IntegrityError):
        Job.objects.bulk_create([Job(**{**_columns(job), "id": "00000000-0000-7000-8000-000000000000"})])


def _columns(job: Job) -> dict[str, object]:
    return {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields} | {"attempt": 2}
