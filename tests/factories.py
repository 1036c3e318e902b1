"""Typed makers of the things that tests start from. They go through the services, as the product does."""

from __future__ import annotations

import datetime as dt
import itertools

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
from jobs.states import JobStatus
from jobs.transitions import Output
from kernel.clock import database_now
from kernel.errors import AppError
from notifications.models import Channel, Delivery

_numbers = itertools.count(1)


def gateway_alive(*, seconds: float = 10_000, now: dt.datetime | None = None) -> None:
    """Some gateway has been alive for that long, until now."""
    now = now or database_now()
    since = now - dt.timedelta(seconds=seconds)
    GatewayClock.objects.update_or_create(pk=1, defaults={"alive_since": since, "beat_at": now})


def make_user(username: str = "") -> User:
    """A user without a password."""
    return get_or_create_user(username=username or f"user{next(_numbers)}")


def make_agent(*, owner: User | None = None, name: str = "", online: bool = True) -> Agent:
    """An agent, heard just now unless `online` is off."""
    agent, _token = create_agent(owner=owner or make_user(), name=name or f"agent-{next(_numbers)}", actor="test")
    if online:
        touch_agents([AgentTouch(agent_id=agent.pk, ip="192.0.2.1", version="test")])
        agent.refresh_from_db()
    return agent


def agreed(channel: Channel) -> Channel:
    """The channel, as after its mailbox has agreed long ago."""
    channel.confirmed_at = channel.created_at
    channel.save(update_fields=["confirmed_at"])
    Delivery.objects.filter(channel=channel, message=None).delete()
    return channel


def submission(agent: Agent, message: str = "date", **more: object) -> Submission:
    """A wish for a job for this agent."""
    return Submission(owner_id=agent.owner_id, agent=agent.pk, message=message, actor="test", **more)  # type: ignore[arg-type]


def make_job(agent: Agent, message: str = "date", *, now: dt.datetime | None = None, **more: object) -> Job:
    """A queuing job."""
    (job,) = submit_jobs([submission(agent, message, **more)], now=now)
    assert isinstance(job, Job), job
    return job


def claim(agent: Agent, *, now: dt.datetime | None = None) -> Job | None:
    """What the agent gets at a poll."""
    (job,) = claim_jobs([Claim(agent_id=agent.pk)], now=now)
    return job


def report(
    agent: Agent, job: Job, kind: ReportKind, text: str = "", *, now: dt.datetime | None = None
) -> AppError | None:
    """What the agent hears of a report."""
    (outcome,) = report_jobs([Report(agent_id=agent.pk, job_id=job.pk, kind=kind, output=Output(text=text))], now=now)
    return outcome


def make_job_in(status: JobStatus, agent: Agent | None = None) -> Job:
    """A job in that status, brought there by the services."""
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
    """Let the agent take the job and say nothing until its lease is over."""
    long_ago = database_now() - dt.timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(active_at=long_ago)
    assert claim(agent, now=long_ago) == job
    gateway_alive()
    assert expire_overdue_jobs() == 1
