"""Sweeps: leases, waiting jobs, silent agents, lost bells, old keys, the gateway's clock."""

from __future__ import annotations

import datetime as dt

import pytest

from accounts.models import User
from accounts.services.users import set_frozen
from agents.models import Agent
from agents.services.manage import AgentChange, delete_agent, update_agent
from agents.services.presence import AgentTouch, touch_agents
from jobs.life.claim import Claim, claim_jobs
from jobs.life.offline import expire_jobs_of_absent_agents, mark_silent_agents
from jobs.life.overdue import expire_overdue_jobs
from jobs.life.report import ReportKind
from jobs.life.submit import submit_jobs
from jobs.life.upkeep import beat_gateway_clock, forget_old_keys, ring_lost_bells
from jobs.models import GatewayClock, Job
from jobs.states import JobStatus
from kernel.bells import ringer
from kernel.clock import database_now
from kernel.errors import AgentOnline
from tests.factories import claim, gateway_alive, make_agent, make_job, make_job_in, report, submission

pytestmark = pytest.mark.django_db


def _after(**much: float) -> dt.datetime:
    return database_now() + dt.timedelta(**much)


def _expire(limit: int = 500, **later: float) -> int:
    """Sweep this much later, with a gateway alive all the time."""
    now = _after(**later)
    gateway_alive(now=now)
    return expire_overdue_jobs(limit=limit, now=now)


@pytest.mark.parametrize("status", [JobStatus.SENT, JobStatus.RUNNING])
def test_a_lease_that_is_over_expires_the_job_once(status: JobStatus) -> None:
    job = make_job_in(status)
    assert _expire(seconds=590) == 0
    assert _expire(seconds=610) == 1
    assert _expire(seconds=610) == 0
    job.refresh_from_db()
    assert (job.status, job.lease_until) == (JobStatus.EXPIRED, None)


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED])
def test_an_expiry_never_overwrites_an_end(status: JobStatus) -> None:
    job = make_job_in(status)
    assert _expire(days=30) == 0
    job.refresh_from_db()
    assert job.status == status


def test_a_wait_that_is_over_expires_the_job() -> None:
    job = make_job(make_agent(online=False), ttl_seconds=60)
    assert _expire(seconds=50) == 0
    assert _expire(seconds=70) == 1
    job.refresh_from_db()
    assert job.status == JobStatus.EXPIRED


def test_a_sweep_takes_no_more_than_its_limit() -> None:
    agent = make_agent()
    for _ in range(5):
        make_job(agent)
    claim_jobs([Claim(agent_id=agent.pk) for _ in range(5)])
    assert [_expire(limit=2, hours=1) for _ in range(4)] == [2, 2, 1, 0]


def test_a_silent_agent_goes_offline_and_its_plain_jobs_expire() -> None:
    agent = make_agent()
    plain, patient = make_job(agent), make_job(agent, ttl_seconds=3600)
    now = _after(seconds=179)
    gateway_alive(seconds=10_000, now=now)
    assert mark_silent_agents(now=now) == 0
    now = _after(seconds=181)
    gateway_alive(seconds=10_000, now=now)
    assert mark_silent_agents(now=now) == 1
    for job, status in ((plain, JobStatus.EXPIRED), (patient, JobStatus.QUEUING)):
        job.refresh_from_db()
        assert job.status == status
    agent.refresh_from_db()
    assert not agent.online


def test_silence_counts_only_while_a_gateway_is_alive() -> None:
    make_agent()
    now = _after(seconds=500)
    assert mark_silent_agents(now=now) == 0
    gateway_alive(seconds=100, now=now)
    assert mark_silent_agents(now=now) == 0
    gateway_alive(seconds=181, now=now)
    assert mark_silent_agents(now=now) == 1


def test_an_agent_with_a_live_lease_is_at_work_not_away() -> None:
    agent = make_agent()
    job = make_job_in(JobStatus.SENT, agent)
    waiting = make_job(agent)
    now = _after(seconds=300)
    gateway_alive(seconds=10_000, now=now)
    assert mark_silent_agents(now=now) == 0
    waiting.refresh_from_db()
    assert waiting.status == JobStatus.QUEUING
    assert report(agent, job, ReportKind.SUCCEED, now=now) is None
    assert mark_silent_agents(now=now) == 1


def test_an_agent_that_comes_back_is_online_and_first_seen_once() -> None:
    agent = make_agent(online=False)
    first, second = _after(seconds=1), _after(seconds=2)
    touch = AgentTouch(agent_id=agent.pk, ip="2001:db8::1", version="2.0.0 linux")
    assert touch_agents([touch], now=first) == [agent.pk]
    assert touch_agents([touch], now=second) == []
    agent.refresh_from_db()
    assert (agent.online, agent.activated_at, agent.last_seen_at) == (True, first, second)
    assert (agent.ip, agent.version) == ("2001:db8::1", "2.0.0 linux")


def test_a_job_that_slipped_in_beside_the_sweep_ends_at_the_next() -> None:
    agent = make_agent()
    job = make_job(agent)
    Agent.objects.update(online=False)
    assert expire_jobs_of_absent_agents() == 1
    job.refresh_from_db()
    assert job.status == JobStatus.EXPIRED


@pytest.mark.parametrize("status", [JobStatus.QUEUING, JobStatus.SENT, JobStatus.RUNNING])
@pytest.mark.parametrize("how", ["delete", "disable", "freeze"])
def test_removing_an_agent_or_freezing_its_owner_cancels_its_jobs(status: JobStatus, how: str) -> None:
    agent, neighbour = make_agent(), make_agent()
    job, other = make_job_in(status, agent), make_job_in(status, neighbour)
    if how == "delete":
        with pytest.raises(AgentOnline):
            delete_agent(agent=agent, actor="test")
        delete_agent(agent=agent, actor="test", force=True)
    elif how == "disable":
        update_agent(agent=agent, change=AgentChange(enabled=False), actor="test")
    else:
        set_frozen(user=agent.owner, frozen=True, actor="test")
    job.refresh_from_db()
    other.refresh_from_db()
    assert (job.status, other.status) == (JobStatus.CANCELED, status)


@pytest.mark.django_db(transaction=True)
def test_a_lost_bell_is_rung_again() -> None:
    agent, away = make_agent(), make_agent(online=False)
    make_job(agent)
    make_job(away, ttl_seconds=60)
    ringer.wait_until_empty()
    assert ring_lost_bells(now=_after(seconds=1)) == 0
    assert ring_lost_bells(now=_after(seconds=3)) == 1
    assert claim(agent) is not None
    assert ring_lost_bells(now=_after(seconds=3)) == 0


def test_a_key_is_forgotten_a_week_after_its_job() -> None:
    agent = make_agent()
    make_job(agent, idempotency_key="k")
    assert forget_old_keys(now=_after(days=8)) == 0
    job = claim(agent)
    assert job is not None
    report(agent, job, ReportKind.SUCCEED)
    assert forget_old_keys(now=_after(days=6)) == 0
    assert forget_old_keys(now=_after(days=8)) == 1
    (again,) = submit_jobs([submission(agent, idempotency_key="k")])
    assert again != job


def test_nothing_expires_while_no_gateway_is_alive_nor_before_it_has_shifted_the_deadlines() -> None:
    """The worker runs while the web is down: its sweep must not expire jobs before the deadlines are shifted."""
    agent = make_agent()
    make_job(agent)
    sent = claim(agent)
    make_job(agent, ttl_seconds=60)
    assert sent is not None
    assert expire_overdue_jobs(now=_after(hours=1)) == 0
    beat_gateway_clock()
    assert expire_overdue_jobs(now=_after(hours=1)) == 0
    assert mark_silent_agents(now=_after(hours=1)) == 0
    beat_gateway_clock(now=_after(hours=1))
    assert expire_overdue_jobs(now=_after(hours=1)) == 0
    assert _expire(hours=2) == 2


@pytest.mark.parametrize("how", ["deleted", "frozen", "disabled"])
def test_a_job_that_slipped_in_beside_a_removal_is_canceled(how: str) -> None:
    agent = make_agent()
    job = make_job(agent, ttl_seconds=3600)
    if how == "deleted":
        Agent.objects.update(deleted_at=database_now())
    elif how == "disabled":
        Agent.objects.update(enabled=False)
    else:
        User.objects.filter(pk=agent.owner_id).update(is_active=False)
    assert expire_jobs_of_absent_agents() == 1
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELED


def test_a_gap_without_any_gateway_moves_every_deadline_once() -> None:
    agent = make_agent()
    make_job(agent)
    sent = claim(agent)
    waiting = make_job(agent, ttl_seconds=60)
    assert sent is not None
    beat_gateway_clock()
    before = Job.objects.in_bulk([sent.pk, waiting.pk])
    beat = GatewayClock.objects.get().beat_at
    later = beat + dt.timedelta(seconds=100)
    beat_gateway_clock(now=later)
    beat_gateway_clock(now=later)
    after = Job.objects.in_bulk([sent.pk, waiting.pk])
    shift = dt.timedelta(seconds=100)
    lease, wait = before[sent.pk].lease_until, before[waiting.pk].expires_at
    assert lease is not None
    assert wait is not None
    assert after[sent.pk].lease_until == lease + shift
    assert after[waiting.pk].expires_at == wait + shift
    assert GatewayClock.objects.get().alive_since == later


def test_a_short_silence_of_the_gateway_moves_nothing() -> None:
    job = make_job_in(JobStatus.SENT)
    beat_gateway_clock()
    beat = GatewayClock.objects.get().beat_at
    beat_gateway_clock(now=beat + dt.timedelta(seconds=29))
    assert Job.objects.get(pk=job.pk).lease_until == job.lease_until


@pytest.mark.parametrize("back", [dt.timedelta(hours=1), dt.timedelta(days=1)])
def test_a_database_clock_that_is_set_back_leaves_no_job_waiting_and_no_lease_longer(back: dt.timedelta) -> None:
    """Rows that were made while the clock ran ahead would wait for an hour or a day, and leases would last as long."""
    agent = make_agent()
    ahead = _after() + back
    gateway_alive(now=ahead)
    make_job(agent, now=ahead)
    sent = claim(agent, now=ahead)
    assert sent is not None
    waiting = make_job(agent, now=ahead, ttl_seconds=60)
    now = ahead - back + dt.timedelta(seconds=2)
    beat_gateway_clock(now=now)
    assert claim(agent, now=now) == waiting
    sent.refresh_from_db()
    assert sent.lease_until is not None
    assert now < sent.lease_until <= now + dt.timedelta(seconds=600)
    clock = GatewayClock.objects.get()
    assert (clock.alive_since, clock.beat_at) == (now, now)


def test_a_database_clock_that_is_set_forward_and_back_changes_no_deadline() -> None:
    agent = make_agent()
    make_job(agent)
    sent = claim(agent)
    assert sent is not None
    now = _after()
    gateway_alive(now=now)
    hour = dt.timedelta(hours=1)
    for moment in (now + hour, now + dt.timedelta(seconds=1)):
        beat_gateway_clock(now=moment)
        assert expire_overdue_jobs(now=moment) == 0
    after = Job.objects.get(pk=sent.pk).lease_until
    assert after is not None
    assert sent.lease_until is not None
    assert abs(after - sent.lease_until) <= dt.timedelta(seconds=2)
