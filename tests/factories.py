"""Typed factories for tests. They call the services, as the product does."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import fields, replace
from typing import Any

from accounts.models import User
from accounts.services.users import get_or_create_user
from agents.models import Agent
from agents.services.manage import create_agent
from agents.services.presence import AgentTouch, touch_agents
from jobs.life.claim import Claim, claim_jobs
from jobs.life.offline import expire_jobs_of_absent_agents
from jobs.life.overdue import expire_overdue_jobs
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.life.submit import Submission, submit_jobs
from jobs.models import GatewayClock, Job
from jobs.order import JobOrder, OrderChange
from jobs.schedules.service import ScheduleFields
from jobs.states import JobStatus
from jobs.transitions import Output
from kernel.clock import database_now
from kernel.errors import AppError
from notifications.models import Channel, Delivery

_numbers = itertools.count(1)


def gateway_alive(*, seconds: float = 10_000, now: dt.datetime | None = None) -> None:
    """Let a gateway have been alive for `seconds` until now."""
    now = now or database_now()
    since = now - dt.timedelta(seconds=seconds)
    GatewayClock.objects.update_or_create(pk=1, defaults={"alive_since": since, "beat_at": now})


def make_user(username: str = "") -> User:
    """A user without a password."""
    return get_or_create_user(username=username or f"user{next(_numbers)}")


def make_agent(*, owner: User | None = None, name: str = "", online: bool = True) -> Agent:
    """An agent that was seen just now, unless `online` is false."""
    agent, _token = create_agent(owner=owner or make_user(), name=name or f"agent-{next(_numbers)}", actor="test")
    if online:
        touch_agents([AgentTouch(agent_id=agent.pk, ip="192.0.2.1", version="test")])
        agent.refresh_from_db()
    return agent


def agreed(channel: Channel) -> Channel:
    """Return the channel as after a confirmed mailbox."""
    channel.confirmed_at = channel.created_at
    channel.save(update_fields=["confirmed_at"])
    Delivery.objects.filter(channel=channel, message=None).delete()
    return channel


def order(message: str = "date", *, then: object = (), **options: Any) -> JobOrder:
    """An order with these options; `then` as bodies have it."""
    followers = JobOrder.from_body({"then": then}).then if isinstance(then, list) else then  # type: ignore[dict-item]
    return JobOrder(message=message, then=followers, **options)


def order_job(owner_id: str, message: str = "date", *, key: str | None = None, **options: Any) -> Submission:
    """A submission of that owner; `key` is its idempotency key."""
    return Submission(owner_id=owner_id, actor="test", order=order(message, **options), idempotency_key=key)


def submission(agent: Agent, message: str = "date", *, idempotency_key: str | None = None, **more: Any) -> Submission:
    """A submission for this agent."""
    made = order_job(agent.owner_id, message, key=idempotency_key, **{"agent": agent.pk} | _options(more))
    return replace(made, **more)


def _options(more: dict[str, Any]) -> dict[str, Any]:
    """Take the options of the order out of `more`."""
    names = {one.name for one in fields(JobOrder)}
    return {name: more.pop(name) for name in list(more) if name in names}


def schedule_fields(said: dict[str, Any]) -> ScheduleFields:
    """The fields of a schedule, with the options of its jobs."""
    own = dict(said)
    return ScheduleFields(order=OrderChange(_options(own)), **own)  # type: ignore[typeddict-item]


def make_job(agent: Agent, message: str = "date", *, now: dt.datetime | None = None, **more: object) -> Job:
    """A queuing job."""
    (job,) = submit_jobs([submission(agent, message, **more)], now=now)
    assert isinstance(job, Job), job
    return job


def claim(agent: Agent, *, now: dt.datetime | None = None) -> Job | None:
    """Let the agent poll; return the job or None."""
    (job,) = claim_jobs([Claim(agent_id=agent.pk)], now=now)
    return job


def report(
    agent: Agent, job: Job, kind: ReportKind, text: str = "", *, now: dt.datetime | None = None
) -> AppError | None:
    """Let the agent report; return the error or None."""
    (outcome,) = report_jobs([Report(agent_id=agent.pk, job_id=job.pk, kind=kind, output=Output(text=text))], now=now)
    return outcome


def make_job_in(status: JobStatus, agent: Agent | None = None) -> Job:
    """A job in this status, reached through the services."""
    agent = agent or make_agent()
    job = make_job(agent)
    if status == JobStatus.CANCELED:
        Agent.objects.filter(pk=agent.pk).update(enabled=False)
        expire_jobs_of_absent_agents()
        Agent.objects.filter(pk=agent.pk).update(enabled=True)
    elif status == JobStatus.EXPIRED:
        make_expired(agent, job)
    elif status != JobStatus.QUEUING:
        assert claim(agent) == job
        if status in (JobStatus.RUNNING, JobStatus.SUCCEEDED, JobStatus.FAILED):
            assert report(agent, job, ReportKind.RUNNING) is None
        if status == JobStatus.SUCCEEDED:
            assert report(agent, job, ReportKind.SUCCEED, "ok") is None
        if status == JobStatus.FAILED:
            assert report(agent, job, ReportKind.FAIL, "no") is None
    job.refresh_from_db()
    assert job.status == status
    return job


def make_expired(agent: Agent, job: Job) -> None:
    """Let the agent claim the job and stay silent until its lease ends."""
    long_ago = database_now() - dt.timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(active_at=long_ago)
    assert claim(agent, now=long_ago) == job
    gateway_alive()
    assert expire_overdue_jobs() == 1
