"""Factories of delayed jobs. They call the services, as the product does."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from typing import Any

from agents.models import Agent
from jobs.delayed.service import IfExists, Moment, NewDelayedJob, create_delayed
from jobs.models import DelayedJob, Job
from kernel.errors import AppError
from tests.factories import order


def new_job(agent: Agent, message: str = "date", /, *, seconds: float = 60, **more: object) -> NewDelayedJob:
    """A new delayed job for this agent, due in `seconds`."""
    own = {one.name for one in fields(NewDelayedJob)}
    values: dict[str, Any] = {"moment": Moment(delay=dt.timedelta(seconds=seconds))}
    values |= {name: value for name, value in more.items() if name in own}
    options = {"agent": agent.pk} | {name: value for name, value in more.items() if name not in own}
    if isinstance(word := values.get("if_exists"), str):
        values["if_exists"] = IfExists(word)
    return NewDelayedJob(owner_id=agent.owner_id, actor="test", order=order(message, **options), **values)


def delay(agent: Agent, message: str = "date", /, *, now: dt.datetime | None = None, **more: object) -> DelayedJob:
    """A delayed job of this agent."""
    (stored,) = create_delayed([new_job(agent, message, **more)], now=now)  # type: ignore[arg-type]
    assert not isinstance(stored, AppError), stored
    return stored.row


def job_of(row: DelayedJob) -> Job | None:
    """The job that it created, or None."""
    return Job.objects.filter(parent_id=row.pk).first()
