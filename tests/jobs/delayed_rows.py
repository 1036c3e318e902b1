"""Makers of delayed jobs. They go through the services, as the product does."""

from __future__ import annotations

import datetime as dt

from agents.models import Agent
from jobs.delayed.service import IfExists, Moment, NewDelayedJob, create_delayed
from jobs.models import DelayedJob, Job
from kernel.errors import AppError


def wish(agent: Agent, message: str = "date", /, *, seconds: float = 60, **more: object) -> NewDelayedJob:
    """A wish for a delayed job of this agent, `seconds` ahead."""
    values = {"agent": agent.pk, "moment": Moment(delay=dt.timedelta(seconds=seconds)), **more}
    if isinstance(word := values.get("if_exists"), str):
        values["if_exists"] = IfExists(word)
    return NewDelayedJob(owner_id=agent.owner_id, actor="test", message=message, **values)  # type: ignore[arg-type]


def delay(agent: Agent, message: str = "date", /, *, now: dt.datetime | None = None, **more: object) -> DelayedJob:
    """A delayed job of this agent."""
    (stored,) = create_delayed([wish(agent, message, **more)], now=now)  # type: ignore[arg-type]
    assert not isinstance(stored, AppError), stored
    return stored.row


def job_of(row: DelayedJob) -> Job | None:
    """The job that it became, if it has."""
    return Job.objects.filter(parent_id=row.pk).first()
