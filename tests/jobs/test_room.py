"""The limits of one person: waiting jobs, delayed jobs, queues, tokens. Staff have none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.translation import override
from pytest_django import Settings

from accounts.models import User, UserToken
from accounts.services.tokens import mint_user_token, revoke_user_token
from jobs.delayed.service import DelayedRef as Ref
from jobs.delayed.service import Moment, NewDelayedJob, cancel_delayed, create_delayed
from jobs.life.insert import insert_jobs
from jobs.life.retry import new_attempt
from jobs.life.submit import submit_jobs
from jobs.models import DelayedJob, DelayedState, Job
from jobs.queues.service import QueueSettings, delete_queue, put_queue
from kernel.clock import database_now
from kernel.errors import AppError, DelayedJobLimit, JobLimit, QueueLimit, TokenLimit
from tests.factories import claim, make_agent, make_job, make_user, order, submission

pytestmark = pytest.mark.django_db

LIMIT = 3


@pytest.fixture(autouse=True)
def _three_of_each_in_english(settings: Settings) -> Iterator[None]:
    settings.WAITING_JOBS_PER_USER = settings.DELAYED_JOBS_PER_USER = LIMIT
    settings.QUEUES_PER_USER = settings.TOKENS_PER_USER = LIMIT
    with override("en"):
        yield


def _promote(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True)
    user.refresh_from_db()


def test_a_job_over_the_limit_is_refused_and_a_claim_makes_room() -> None:
    agent = make_agent()
    made = submit_jobs([submission(agent, str(number)) for number in range(LIMIT + 2)])
    assert [isinstance(one, Job) for one in made] == [True] * LIMIT + [False] * 2
    refused = made[-1]
    assert isinstance(refused, JobLimit)
    assert (refused.status, refused.code) == (429, "JobLimit")
    assert refused.retry_after_seconds
    assert refused.message.startswith("3 of your jobs wait")
    assert Job.objects.count() == LIMIT
    assert claim(agent) is not None
    make_job(agent)
    assert Job.objects.waiting().count() == LIMIT


def test_a_second_agent_of_the_owner_gives_no_room_and_another_owner_has_their_own() -> None:
    agent = make_agent()
    submit_jobs([submission(agent, str(number)) for number in range(LIMIT)])
    second, others = make_agent(owner=agent.owner), make_agent()
    made = submit_jobs([submission(second), submission(others)])
    assert [type(one) for one in made] == [JobLimit, Job]


def test_the_same_request_again_is_answered_at_the_limit() -> None:
    agent = make_agent()
    first = submission(agent, idempotency_key="k")
    (job,) = submit_jobs([first])
    submit_jobs([submission(agent, str(number)) for number in range(LIMIT)])
    assert submit_jobs([first]) == [job]


def test_another_attempt_passes_the_limit() -> None:
    agent = make_agent()
    job = make_job(agent)
    submit_jobs([submission(agent, str(number)) for number in range(LIMIT)])
    now = database_now()
    attempt = new_attempt(job, now, now=now, slot=None)
    assert insert_jobs([attempt], now=now, actor_of={attempt.pk: "retry"}) == [attempt]


@pytest.mark.parametrize("number", [0, LIMIT])
def test_staff_and_a_limit_of_zero_let_any_number_wait(settings: Settings, number: int) -> None:
    agent = make_agent()
    settings.WAITING_JOBS_PER_USER = number
    if number:
        _promote(agent.owner)
    made = submit_jobs([submission(agent, str(index)) for index in range(LIMIT * 3)])
    assert all(isinstance(one, Job) for one in made)


def test_a_process_counts_once_for_a_tenth_of_the_room(settings: Settings) -> None:
    settings.WAITING_JOBS_PER_USER = 30
    agent = make_agent()
    with CaptureQueriesContext(connection) as captured:
        for number in range(40):
            submit_jobs([submission(agent, str(number))])
    counts = [query for query in captured if "COUNT(*)" in query["sql"]]
    assert Job.objects.count() == 30, "one process keeps the limit exactly"
    # 30 - 1 leaves 29: 2 are granted; 27 - 1: 2 more; ... From 9 on, and for the 10 refusals, each counts.
    assert 10 < len(counts) < 32


def _delay(owner: User, agent_id: str) -> object:
    new = NewDelayedJob(
        owner_id=owner.pk,
        actor="test",
        order=order(agent=agent_id),
        moment=Moment(delay=dt.timedelta(hours=1)),
    )
    (made,) = create_delayed([new])
    return made


def test_a_delayed_job_over_the_limit_is_refused_and_a_cancel_makes_room() -> None:
    agent = make_agent()
    for _ in range(LIMIT):
        assert not isinstance(_delay(agent.owner, agent.pk), AppError)
    refused = _delay(agent.owner, agent.pk)
    assert isinstance(refused, DelayedJobLimit)
    assert refused.status == 409
    assert refused.message.startswith("You have 3 delayed jobs and may have 3.")
    row = DelayedJob.objects.filter(state=DelayedState.SCHEDULED)[0]
    cancel_delayed([Ref(owner_id=agent.owner_id, delayed_id=row.pk)])
    assert not isinstance(_delay(agent.owner, agent.pk), AppError)
    _promote(agent.owner)
    assert not isinstance(_delay(agent.owner, agent.pk), AppError)


def test_a_queue_over_the_limit_is_refused_and_those_that_are_there_can_be_changed() -> None:
    owner = make_user()
    queues = [put_queue(viewer=owner, name=f"q{number}", settings=QueueSettings())[0] for number in range(LIMIT)]
    with pytest.raises(QueueLimit, match="You have 3 queues and may have 3"):
        put_queue(viewer=owner, name="more", settings=QueueSettings())
    changed, is_new = put_queue(viewer=owner, name="q0", settings=QueueSettings(width=7))
    assert (changed.width, is_new) == (7, False)
    delete_queue(queue=queues[1])
    put_queue(viewer=owner, name="more", settings=QueueSettings())
    _promote(owner)
    put_queue(viewer=owner, name="another", settings=QueueSettings())


def test_a_token_over_the_limit_is_refused_and_a_revoked_one_makes_room() -> None:
    owner = make_user()
    for _ in range(LIMIT):
        mint_user_token(user=owner, scope="jobs", actor="test")
    with pytest.raises(TokenLimit, match="You have 3 tokens and may have 3"):
        mint_user_token(user=owner, scope="full", actor="test")
    revoke_user_token(token=UserToken.objects.filter(user=owner)[0], actor="test")
    mint_user_token(user=owner, scope="full", actor="test")
    _promote(owner)
    mint_user_token(user=owner, scope="full", actor="test")
