"""Two beats, or no beat for ten minutes, change only the timing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from agents.models import Agent
from jobs import tasks
from jobs.life.claim import Claim, claim_jobs
from jobs.life.offline import mark_silent_agents
from jobs.life.overdue import expire_overdue_jobs
from jobs.life.report import ReportKind
from jobs.life.upkeep import beat_gateway_clock
from jobs.models import GatewayClock, Job, JobEvent
from jobs.states import JobStatus
from kernel.clock import database_now
from tests.factories import claim, gateway_alive, make_agent, make_job, report

_MANY = 12
_TEN_MINUTES = dt.timedelta(minutes=10)


def _at_once(*works: Callable[[], object]) -> None:
    """Run these in parallel, each on its own connection."""
    gate = Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            connection.ensure_connection()
            gate.wait(10)
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as threads:
        for done in [threads.submit(run, work) for work in works]:
            done.result(60)


def _ends(status: JobStatus) -> list[str]:
    return list(JobEvent.objects.filter(after=status).values_list("job_id", flat=True))


@pytest.mark.django_db(transaction=True)
def test_two_ticks_at_once_end_nothing_twice() -> None:
    at_work, silent = make_agent(), make_agent()
    long_ago = database_now() - dt.timedelta(hours=1)
    for number in range(_MANY):
        make_job(at_work, now=long_ago)
        make_job(silent, now=long_ago)
        make_job(silent, str(number), now=long_ago, ttl_seconds=60)
    claim_jobs([Claim(agent_id=at_work.pk) for _ in range(_MANY)], now=long_ago)
    Agent.objects.filter(pk=silent.pk).update(last_seen_at=long_ago)
    gateway_alive()
    _at_once(tasks.sweep_overdue, tasks.sweep_overdue, tasks.sweep_offline, tasks.sweep_offline)
    ended = _ends(JobStatus.EXPIRED)
    assert len(ended) == len(set(ended)) == 3 * _MANY
    assert not Job.objects.exclude(status=JobStatus.EXPIRED).exists()
    assert Agent.objects.get(pk=at_work.pk).online
    assert not Agent.objects.get(pk=silent.pk).online


@pytest.mark.django_db(transaction=True)
def test_two_gateway_clocks_at_once_shift_every_deadline_once() -> None:
    agent = make_agent()
    make_job(agent)
    sent, waiting = claim(agent), make_job(agent, ttl_seconds=60)
    assert sent is not None
    assert sent.lease_until is not None
    assert waiting.expires_at is not None
    beat_gateway_clock()
    later = GatewayClock.objects.get().beat_at + _TEN_MINUTES
    _at_once(*[lambda: beat_gateway_clock(now=later)] * 4)
    assert Job.objects.get(pk=sent.pk).lease_until == sent.lease_until + _TEN_MINUTES
    assert Job.objects.get(pk=waiting.pk).expires_at == waiting.expires_at + _TEN_MINUTES
    assert GatewayClock.objects.get().alive_since == later


@pytest.mark.django_db
def test_no_beat_for_ten_minutes_ends_nothing_and_jobs_go_on(settings: pytest.FixtureRequest) -> None:
    """The gap is ten leases long, so that every deadline passes in it."""
    settings.LEASE_SECONDS = 60  # type: ignore[attr-defined]
    agent, start = make_agent(), database_now()
    gateway_alive(now=start)
    held = [make_job(agent, now=start) for _ in range(_MANY)]
    assert None not in claim_jobs([Claim(agent_id=agent.pk) for _ in held], now=start)
    waiting = make_job(make_agent(online=False), now=start, ttl_seconds=60)

    amid = start + _TEN_MINUTES / 2
    assert (expire_overdue_jobs(now=amid), mark_silent_agents(now=amid)) == (0, 0)
    assert report(agent, held[0], ReportKind.SUCCEED, "ok", now=amid) is None
    another = make_job(agent, now=amid, ttl_seconds=600)
    assert claim(agent, now=amid) == another
    assert report(agent, another, ReportKind.SUCCEED, "ok", now=amid) is None

    back = start + _TEN_MINUTES
    beat_gateway_clock(now=back)
    assert (expire_overdue_jobs(now=back), mark_silent_agents(now=back)) == (0, 0)
    assert report(agent, held[1], ReportKind.RUNNING, now=back + dt.timedelta(seconds=59)) is None
    assert not Job.objects.filter(status=JobStatus.EXPIRED).exists()

    # Jobs without a report within the shifted lease expire then, and once.
    over = back + dt.timedelta(seconds=61)
    gateway_alive(now=over)
    assert (expire_overdue_jobs(now=over), expire_overdue_jobs(now=over)) == (_MANY - 1, 0)
    assert sorted(_ends(JobStatus.EXPIRED)) == sorted(job.pk for job in (*held[2:], waiting))


@pytest.mark.django_db
def test_a_sweep_catches_up_after_ten_minutes_without_one() -> None:
    """While Celery's beat is down, reports are kept; the jobs without one expire afterwards, and once."""
    agent, start = make_agent(), database_now()
    held = [make_job(agent, now=start) for _ in range(3)]
    claim_jobs([Claim(agent_id=agent.pk) for _ in held], now=start)
    over = start + dt.timedelta(seconds=600) + _TEN_MINUTES
    gateway_alive(now=over)
    assert report(agent, held[0], ReportKind.FAIL, "no", now=over) is None
    assert (expire_overdue_jobs(now=over), expire_overdue_jobs(now=over)) == (2, 0)
    assert not Job.objects.get(pk=held[0].pk).late
