"""Queues: their order, width, rate, states and length; groups; distinct jobs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import translation

from agents.models import Agent
from agents.services.manage import AgentChange, update_agent
from jobs.life.claim import Claim, PutBack, claim_jobs, put_back_jobs
from jobs.life.offline import expire_jobs_of_absent_agents
from jobs.life.report import ReportKind
from jobs.life.submit import submit_jobs
from jobs.models import Job, Queue, QueueState
from jobs.queues.dispatch import ring_lost_queues
from jobs.queues.service import QueueSettings, count_queues, delete_queue, flush_queue, put_queue, set_state
from jobs.states import JobStatus
from kernel import bells
from kernel.clock import database_now
from kernel.errors import AppError, QueueBusy, QueueDraining, QueueDuplicate, QueueFull
from tests.factories import claim, make_agent, make_job, make_user, order_job, report
from tests.faults.invariants import Limits, check

pytestmark = pytest.mark.django_db


def make_queue(agent: Agent, name: str = "q", **settings: object) -> Queue:
    """A queue on this agent, on a group of the owner's agents (`tag`), or without an agent (`pulled`)."""
    target = {} if settings.pop("pulled", False) or "tag" in settings else {"agent": agent.pk}
    queue, _new = put_queue(viewer=agent.owner, name=name, settings=QueueSettings(**target, **settings))  # type: ignore[arg-type]
    return queue


def put(queue: Queue, message: str = "x", *, now: dt.datetime | None = None, **more: object) -> Job | AppError:
    """Submit a job to the queue; return the job or the error."""
    one = order_job(queue.owner_id, message, queue=queue.name, **more)
    (outcome,) = submit_jobs([one], now=now)
    return outcome


def add(queue: Queue, message: str = "x", **more: object) -> Job:
    """Submit a job that the queue must accept."""
    outcome = put(queue, message, **more)
    assert isinstance(outcome, Job), outcome
    return outcome


def drain(agent: Agent) -> list[str]:
    """Let the agent claim and end jobs one after the other; return their messages."""
    said = []
    while job := claim(agent):
        said.append(job.message)
        assert report(agent, job, ReportKind.SUCCEED) is None
    return said


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The bells that were rung, recorded before the commit."""
    bells: list[tuple[str, str]] = []
    for module in ("jobs.queues.dispatch", "jobs.transitions"):
        monkeypatch.setattr(f"{module}.ring", lambda name, subject: bells.append((name, subject)))
    return bells


def test_width_one_starts_one_at_a_time_in_the_order_in_which_they_came() -> None:
    agent = make_agent()
    queue = make_queue(agent)
    for word in "abc":
        add(queue, word)
    first = claim(agent)
    assert first is not None
    assert (first.message, claim(agent)) == ("a", None)
    assert report(agent, first, ReportKind.SUCCEED) is None
    assert drain(agent) == ["b", "c"]


def test_a_job_in_no_queue_passes_a_full_queue_and_the_older_goes_first() -> None:
    agent = make_agent()
    queue = make_queue(agent)
    add(queue, "a")
    add(queue, "b")
    plain = make_job(agent, "plain")
    assert claim(agent).message == "a"  # type: ignore[union-attr]
    assert claim(agent) == plain
    assert claim(agent) is None


def test_width_counts_active_jobs_and_those_of_the_same_batch() -> None:
    agent = make_agent()
    queue = make_queue(agent, width=3)
    for _ in range(5):
        add(queue)
    jobs = claim_jobs([Claim(agent_id=agent.pk) for _ in range(5)])
    assert [job is not None for job in jobs] == [True, True, True, False, False]
    assert Job.objects.active().filter(queue=queue).count() == 3


def test_the_higher_priority_starts_first_then_the_older() -> None:
    agent = make_agent()
    queue = make_queue(agent)
    for word, priority in (("a", 0), ("b", 5), ("c", -1), ("d", 5)):
        add(queue, word, priority=priority)
    assert drain(agent) == ["b", "d", "a", "c"]


def test_a_paused_queue_takes_and_starts_nothing_a_draining_one_starts_and_takes_nothing() -> None:
    agent = make_agent()
    queue = make_queue(agent)
    add(queue, "a")
    set_state(queue=queue, state=QueueState.PAUSED)
    add(queue, "b")
    assert claim(agent) is None
    set_state(queue=queue, state=QueueState.DRAINING)
    assert isinstance(put(queue, "c"), QueueDraining)
    assert drain(agent) == ["a", "b"]
    set_state(queue=queue, state=QueueState.OPEN)
    add(queue, "d")
    assert drain(agent) == ["d"]


def test_a_full_queue_refuses_and_a_started_job_makes_room() -> None:
    agent = make_agent()
    queue = make_queue(agent, length_limit=2)
    submissions = [order_job(queue.owner_id, word, queue="q") for word in "abc"]
    outcomes = submit_jobs(submissions)
    assert [isinstance(outcome, Job) for outcome in outcomes] == [True, True, False]
    assert isinstance(outcomes[2], QueueFull)
    with translation.override("en"):
        assert outcomes[2].message == "The queue q is full: 2 jobs wait. Send the job again later."
    assert claim(agent) is not None
    assert isinstance(put(queue, "d"), Job)


def test_flush_cancels_waiting_jobs_and_keeps_running_ones() -> None:
    agent = make_agent()
    queue = make_queue(agent)
    jobs = [add(queue) for _ in range(3)]
    running = claim(agent)
    assert flush_queue(queue=queue, actor="test") == 2
    states = [Job.objects.get(pk=job.pk).status for job in jobs]
    assert states == [JobStatus.SENT, JobStatus.CANCELED, JobStatus.CANCELED]
    assert running == jobs[0]


def test_rate_limits_the_starts_of_a_key_within_its_window() -> None:
    agent = make_agent()
    queue = make_queue(agent, width=10, rate_limit=2, rate_seconds=60)
    now = database_now()
    for word, key in (("a", "k"), ("b", "k"), ("c", "k"), ("d", "l")):
        add(queue, word, rate_key=key, now=now)
    taken = claim_jobs([Claim(agent_id=agent.pk) for _ in range(4)], now=now)
    assert [job.message if job else None for job in taken] == ["a", "b", "d", None]
    later = now + dt.timedelta(seconds=59)
    assert ring_lost_queues(due_before=later, now=later) == 0
    assert claim(agent, now=later) is None
    later = now + dt.timedelta(seconds=61)
    assert ring_lost_queues(due_before=later, now=later) == 1
    assert claim(agent, now=later).message == "c"  # type: ignore[union-attr]


def test_distinct_holds_a_key_until_its_job_ends() -> None:
    agent = make_agent()
    queue = make_queue(agent, distinct=True)
    job = add(queue, "same", task="t")
    second = put(queue, "other", task="t")
    assert isinstance(second, QueueDuplicate)
    assert second.job_id == job.pk
    assert isinstance(put(queue, "other"), Job)
    assert isinstance(put(queue, "other", distinct_key="mine"), Job)
    assert claim(agent) == job
    assert isinstance(put(queue, task="t"), QueueDuplicate)
    assert report(agent, job, ReportKind.FAIL) is None
    assert isinstance(put(queue, task="t"), Job)


def test_a_key_without_a_distinct_queue_is_distinct_all_the_same() -> None:
    queue = make_queue(make_agent())
    job = add(queue, distinct_key="k")
    outcome = put(queue, "y", distinct_key="k")
    assert isinstance(outcome, QueueDuplicate)
    assert outcome.job_id == job.pk
    assert isinstance(put(queue, "y"), Job)


def test_a_group_runs_on_whichever_agent_has_the_tag_and_asks_first() -> None:
    owner = make_user()
    one, two, outside = (make_agent(owner=owner, name=name) for name in ("one", "two", "outside"))
    for agent in (one, two):
        update_agent(agent=agent, change=AgentChange(tags=["Build"]), actor="test")
    stranger = make_agent()
    update_agent(agent=stranger, change=AgentChange(tags=["build"]), actor="test")
    queue = make_queue(one, tag="build", width=2)
    for word in "abc":
        add(queue, word)
    assert claim(outside) is None
    assert claim(stranger) is None
    first, second = claim(two), claim(one)
    assert first is not None
    assert second is not None
    assert (first.message, first.agent_id, second.message, second.agent_id) == ("a", two.pk, "b", one.pk)
    assert claim(one) is None
    assert report(one, first, ReportKind.SUCCEED) is not None
    assert report(two, first, ReportKind.SUCCEED) is None
    assert claim(one).message == "c"  # type: ignore[union-attr]


def test_jobs_of_a_queue_wait_for_an_agent_that_is_away() -> None:
    agent = make_agent(online=False)
    queue = make_queue(agent)
    job = add(queue)
    assert Job.objects.filter(pk=job.pk).impatient().count() == 0
    assert not job.is_impatient


def test_the_sweep_of_absent_agents_does_not_expire_jobs_of_queues() -> None:
    agent = make_agent()
    job, plain = add(make_queue(agent)), make_job(agent)
    Agent.objects.filter(pk=agent.pk).update(online=False)
    assert expire_jobs_of_absent_agents() == 1
    states = [Job.objects.get(pk=pk).status for pk in (job.pk, plain.pk)]
    assert states == [JobStatus.QUEUING, JobStatus.EXPIRED]


def test_a_groups_job_that_was_put_back_goes_to_the_first_claim() -> None:
    owner = make_user()
    one, two = make_agent(owner=owner), make_agent(owner=owner)
    for agent in (one, two):
        update_agent(agent=agent, change=AgentChange(tags=["g"]), actor="test")
    job = add(make_queue(one, tag="g"))
    taking = Claim(agent_id=one.pk)
    assert claim_jobs([taking]) == [job]
    put_back_jobs([PutBack(request_id=taking.request_id)])
    job.refresh_from_db()
    assert (job.status, job.agent_id) == (JobStatus.QUEUING, None)
    again = claim(two)
    assert again is not None
    assert (again.pk, again.agent_id, again.offer) == (job.pk, two.pk, 2)
    assert [str(found) for found in check(Path("/nonexistent"), connection, limits=Limits(at_rest=False))] == []


def test_a_claim_without_queues_costs_no_extra_query(django_assert_num_queries: Any) -> None:
    """Two queries, as without queues; a database server is asked for the time too."""
    agent = make_agent()
    clock = 0 if connection.vendor == "sqlite" else 1
    savepoint = 2
    with django_assert_num_queries(2 + clock + savepoint):
        assert claim_jobs([Claim(agent_id=agent.pk, in_queues=False)]) == [None]
    agent.refresh_from_db()
    assert not agent.in_queues
    make_queue(agent)
    agent.refresh_from_db()
    assert agent.in_queues


def test_bells_ring_for_agents_that_may_start_the_next_job(rung: list[tuple[str, str]]) -> None:
    owner = make_user()
    agent, member = make_agent(owner=owner), make_agent(owner=owner)
    update_agent(agent=member, change=AgentChange(tags=["g"]), actor="test")
    own, group, pulled = (
        make_queue(agent, "own"),
        make_queue(agent, "group", tag="g"),
        make_queue(agent, "p", pulled=True),
    )
    rung.clear()
    for queue in (own, group, pulled):
        add(queue)
    assert [ring for ring in rung if ring[0] != "job"] == [
        ("agent", agent.pk), ("agent", member.pk), ("queue", pulled.pk),
    ]  # fmt: skip
    job = claim(agent)
    assert job is not None
    rung.clear()
    assert report(agent, job, ReportKind.SUCCEED) is None
    assert ("agent", agent.pk) in rung
    rung.clear()
    set_state(queue=group, state=QueueState.OPEN)
    assert rung == [("agent", member.pk)]


def test_starting_a_job_rings_for_the_next_while_there_is_room(rung: list[tuple[str, str]]) -> None:
    owner = make_user()
    members = [make_agent(owner=owner) for _ in range(2)]
    for agent in members:
        update_agent(agent=agent, change=AgentChange(tags=["g"]), actor="test")
    queue = make_queue(members[0], tag="g", width=2)
    for _ in range(3):
        add(queue)
    rung.clear()
    assert claim(members[0]) is not None
    assert {ring for ring in rung if ring[0] == "agent"} == {("agent", agent.pk) for agent in members}
    rung.clear()
    assert claim(members[1]) is not None
    assert [ring for ring in rung if ring[0] == "agent"] == []


def test_the_sweep_does_not_ring_for_queues_that_can_start_nothing() -> None:
    agent = make_agent()
    full, paused, idle = (make_queue(agent, name) for name in ("full", "paused", "idle"))
    for queue in (full, full, paused):
        add(queue)
    set_state(queue=paused, state=QueueState.PAUSED)
    later = database_now() + dt.timedelta(seconds=5)
    assert claim(agent) is not None
    assert ring_lost_queues(due_before=later, now=later) == 0
    add(idle, now=later - dt.timedelta(seconds=3))
    assert ring_lost_queues(due_before=later - dt.timedelta(seconds=2), now=later) == 1


def test_replaced_settings_move_waiting_jobs_to_the_new_agent() -> None:
    owner = make_user()
    one, two = make_agent(owner=owner), make_agent(owner=owner)
    queue = make_queue(one, width=3, retries=2)
    add(queue, "a")
    again, is_new = put_queue(viewer=owner, name="q", settings=QueueSettings(agent=two.pk))
    assert (again.pk, is_new, again.width, again.retries) == (queue.pk, False, 1, 0)
    assert claim(one) is None
    assert claim(two).message == "a"  # type: ignore[union-attr]


def test_counts_of_waiting_running_and_ended_jobs() -> None:
    agent = make_agent()
    queue = make_queue(agent, width=2)
    now = database_now()
    for _ in range(4):
        add(queue, now=now)
    job = claim(agent)
    assert job is not None
    assert report(agent, job, ReportKind.FAIL) is None
    assert claim(agent) is not None
    counts = count_queues([queue])[queue.pk]
    assert (counts.waiting, counts.active, counts.dead, counts.finished_last_minute) == (2, 1, 1, 1)
    assert counts.oldest_at is not None


def test_a_queue_with_live_jobs_is_kept_and_its_ended_jobs_outlive_it() -> None:
    agent = make_agent()
    queue = make_queue(agent)
    job = add(queue)
    with pytest.raises(QueueBusy):
        delete_queue(queue=queue)
    assert drain(agent) == ["x"]
    delete_queue(queue=queue)
    job.refresh_from_db()
    assert (job.queue_id, job.status) == (None, JobStatus.SUCCEEDED)
    assert not Queue.objects.exists()


def test_unknown_bells_are_a_bug() -> None:
    ring: Callable[[str, str], None] = bells.ring
    ring("queue", "x")
    with pytest.raises(KeyError):
        ring("queues", "x")
