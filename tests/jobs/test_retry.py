"""T8: retries, their backoff, dead letters, and the followers of a job."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from agents.models import Agent
from agents.services.manage import AgentChange, update_agent
from jobs.life.cancel import cancel_job
from jobs.life.overdue import expire_overdue_jobs
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.life.retry import pause_seconds
from jobs.models import Job
from jobs.order import Backoff
from jobs.queues.dead_letters import list_dead, purge_dead, replay_dead
from jobs.states import JobStatus
from jobs.transitions import Output
from kernel.clock import database_now
from kernel.errors import NotFound
from kernel.ids import occurrence_id
from tests.factories import claim, gateway_alive, make_agent, make_job, make_user, report
from tests.jobs.test_queues import add, make_queue, put

pytestmark = pytest.mark.django_db

_PAUSES: tuple[tuple[Backoff | None, list[float]], ...] = (
    (None, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560]),
    ([10, 60, 300], [10, 60, 300, 300]),
    ([7], [7, 7]),
    ({"base": 5, "factor": 2, "limit": 15}, [5, 10, 15, 15]),
    ({"base": 2, "factor": 1, "limit": 3600}, [2, 2, 2]),
)


def test_pauses_follow_the_table_the_formula_or_the_default_give_or_take_a_fifth() -> None:
    for backoff, wanted in _PAUSES:
        middle = [pause_seconds(backoff, attempt, chance=lambda: 0.5) for attempt in range(1, len(wanted) + 1)]
        assert middle == pytest.approx(wanted)
        for attempt, seconds in enumerate(wanted, 1):
            assert pause_seconds(backoff, attempt, chance=lambda: 0) == pytest.approx(seconds * 0.8)
            assert pause_seconds(backoff, attempt, chance=lambda: 1) == pytest.approx(seconds * 1.2)
    assert pause_seconds(None, 11, chance=lambda: 0.5) == 3600


def _fail(agent: Agent, *, now: dt.datetime, text: str = "no") -> Job:
    job = claim(agent, now=now)
    assert job is not None
    assert report(agent, job, ReportKind.FAIL, text, now=now) is None
    job.refresh_from_db()
    return job


def _next(job: Job) -> Job | None:
    return Job.objects.filter(root_id=job.root_id, attempt=job.attempt + 1).first()


def test_a_failure_is_retried_as_a_new_row_and_is_a_dead_letter_after_the_last() -> None:
    agent = make_agent()
    make_queue(agent)
    now = database_now()
    first = make_job(agent, "x", retries=2, backoff=[10, 60], rate_key="", callback="disable", now=now)
    _fail(agent, now=now)
    second = _next(first)
    assert second is not None
    assert second.pk == occurrence_id(first.pk, "attempt:2")
    assert (second.root_id, second.attempt, second.retries, second.message) == (first.pk, 2, 1, "x")
    assert (second.callback, second.backoff, second.status) == ("disable", [10, 60], JobStatus.QUEUING)
    assert 8 <= (second.active_at - now).total_seconds() <= 12
    assert claim(agent, now=second.active_at - dt.timedelta(seconds=0.01)) is None
    _fail(agent, now=second.active_at)
    third = _next(second)
    assert third is not None
    assert 48 <= (third.active_at - second.active_at).total_seconds() <= 72
    # A late report of the first attempt cannot end the third.
    assert report(agent, first, ReportKind.SUCCEED, now=third.active_at) is not None
    last = _fail(agent, now=third.active_at)
    assert (last.pk, last.attempt, last.retries, _next(last)) == (third.pk, 3, 0, None)
    parked = list(Job.objects.dead())
    assert parked == [last]
    assert last.parked_at == third.active_at


def test_a_failure_without_retries_and_queue_is_not_a_dead_letter() -> None:
    agent = make_agent()
    make_job(agent)
    _fail(agent, now=database_now())
    assert not Job.objects.dead().exists()


def test_a_queue_gives_its_retries_and_pauses_to_jobs_that_bring_none() -> None:
    agent = make_agent()
    queue = make_queue(agent, retries=1, backoff=[30])
    job = add(queue)
    assert (job.retries, job.backoff) == (1, [30])
    own = add(queue, retries=3, backoff=[1])
    assert (own.retries, own.backoff) == (3, [1])


def test_an_expired_job_is_retried_only_if_idempotent() -> None:
    agent = make_agent()
    now = database_now() - dt.timedelta(hours=2)
    once = make_job(agent, "once", retries=1, now=now)
    twice = make_job(agent, "twice", retries=1, idempotent=True, now=now)
    for _ in range(2):
        assert claim(agent, now=now) is not None
    gateway_alive()
    assert expire_overdue_jobs() == 2
    assert _next(once) is None
    again = _next(twice)
    assert again is not None
    assert again.idempotent
    once.refresh_from_db()
    assert once.parked_at is not None
    # After a late success the job is not a dead letter.
    assert report(agent, once, ReportKind.SUCCEED) is None
    once.refresh_from_db()
    assert (once.status, once.late, once.parked_at) == (JobStatus.SUCCEEDED, True, None)


def test_a_canceled_job_is_neither_retried_nor_a_dead_letter() -> None:
    agent = make_agent()
    queue = make_queue(agent, retries=3, width=2)
    waiting, running = add(queue, "a"), add(queue, "b")
    assert claim(agent) == waiting
    assert claim(agent) == running
    cancel_job(owner_id=agent.owner_id, job_id=running.pk, actor="test")
    output = Output(reason="canceled")
    report_jobs([Report(agent_id=agent.pk, job_id=running.pk, kind=ReportKind.FAIL, output=output)])
    Agent.objects.filter(pk=agent.pk).update(enabled=True)
    update_agent(agent=agent, change=AgentChange(enabled=False), actor="test")
    states = list(Job.objects.order_by("pk").values_list("status", "parked_at"))
    assert states == [(JobStatus.CANCELED, None), (JobStatus.FAILED, None)]


def test_no_attempt_starts_after_the_time_to_live() -> None:
    agent = make_agent()
    now = database_now()
    job = make_job(agent, retries=5, backoff=[60], ttl_seconds=30, now=now)
    failed = _fail(agent, now=now)
    assert _next(job) is None
    assert failed.parked_at == now


def test_a_distinct_job_keeps_its_slot_over_its_attempts() -> None:
    agent = make_agent()
    queue = make_queue(agent, retries=1)
    job = add(queue, distinct_key="k")
    _fail(agent, now=database_now())
    again = _next(job)
    assert again is not None
    assert again.distinct_slot is not None
    assert not isinstance(put(queue, distinct_key="k"), Job)
    _fail(agent, now=again.active_at)
    assert isinstance(put(queue, distinct_key="k"), Job)


def test_dead_letters_are_listed_replayed_and_removed() -> None:
    agent = make_agent()
    queue, other = make_queue(agent, retries=1, backoff=[1]), make_queue(agent, "other")
    now = database_now()
    first, second = add(queue, "a", now=now), add(queue, "b", now=now)
    strange = add(other, "c", now=now)
    for minutes in range(5):
        _fail(agent, now=now + dt.timedelta(minutes=minutes))
    page = list_dead(viewer=agent.owner, queue=queue, size=10)
    assert [(job.message, output.result if output else None) for job, output in page.items] == [
        ("b", "no"),
        ("a", "no"),
    ]
    dead = {job.message: job for job, _output in page.items}
    with pytest.raises(NotFound):
        replay_dead(queue=queue, ids=[dead["a"].pk, strange.pk], actor="test")
    (again,) = replay_dead(queue=queue, ids=[dead["a"].pk], actor="user:x")
    assert (again.root_id, again.attempt, again.retries) == (first.pk, 3, 1)
    assert again.events.get().actor == "user:x"
    with pytest.raises(NotFound):
        replay_dead(queue=queue, ids=[dead["a"].pk], actor="test")
    assert purge_dead(queue=queue, ids=None) == 1
    assert list_dead(viewer=agent.owner, queue=queue, size=10).items == []
    assert _fail(agent, now=database_now() + dt.timedelta(hours=1)) == again
    assert _next(again) is not None
    assert Job.objects.get(pk=second.pk).status == JobStatus.FAILED


def test_a_chain_follows_success_or_the_last_failure_and_nothing_else() -> None:
    owner = make_user()
    agent, next_agent = make_agent(owner=owner), make_agent(owner=owner, name="after", online=False)
    lost_agent = make_agent(owner=owner, name="lost")
    further = [{"on": "success", "agent": agent.pk, "message": "third"}]
    then: list[Any] = [
        {"on": "success", "agent": "AFTER", "message": "good", "then": further},
        {"on": "failure", "agent": next_agent.pk, "message": "bad"},
        {"on": "failure", "agent": "lost", "message": "lost"},
    ]  # fmt: skip
    good = make_job(agent, "one", then=then)
    job = claim(agent)
    assert job == good
    assert report(agent, job, ReportKind.SUCCEED) is None
    (follower,) = Job.objects.filter(parent_id=good.pk)
    assert (follower.message, follower.agent_id, follower.source) == ("good", next_agent.pk, f"job:{good.pk}")
    assert follower.pk == occurrence_id(good.pk, "then:0")
    assert not follower.is_impatient
    assert report(next_agent, claim(next_agent) or follower, ReportKind.SUCCEED) is None
    third = Job.objects.get(parent_id=follower.pk)
    assert (third.message, claim(agent)) == ("third", third)
    assert report(agent, third, ReportKind.SUCCEED) is None
    now = database_now()
    gone = make_job(agent, "three", then=then)
    cancel_job(owner_id=owner.pk, job_id=gone.pk, actor="test")
    bad = make_job(agent, "two", then=then, retries=1, now=now)
    lost_agent.deleted_at = now
    lost_agent.save()
    _fail(agent, now=now)
    again = _next(bad)
    assert again is not None
    assert not Job.objects.filter(parent_id=bad.pk).exclude(pk=again.pk).exists()
    _fail(agent, now=again.active_at)
    assert list(Job.objects.filter(parent_id=again.pk).values_list("message", flat=True)) == ["bad"]
    assert not Job.objects.filter(parent_id=gone.pk).exists()


def test_a_follower_does_not_start_after_its_time() -> None:
    agent, now = make_agent(), database_now()
    until = now + dt.timedelta(minutes=5)
    then = [{"on": "success", "agent": agent.pk, "message": "next", "wait_until": until.isoformat()}]
    for after, expected in ((dt.timedelta(minutes=4), 1), (dt.timedelta(minutes=6), 0)):
        job = make_job(agent, "first", then=then, now=now)
        assert claim(agent, now=now) == job
        assert report(agent, job, ReportKind.SUCCEED, now=now + after) is None
        followers = Job.objects.filter(parent_id=job.pk)
        assert followers.count() == expected
        followers.update(status=JobStatus.CANCELED)
