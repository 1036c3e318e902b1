"""Factories of schedules, and scans at a given time."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from agents.models import Agent
from jobs.models import Job, Schedule, ScheduleRun
from jobs.schedules.scan import start_due_schedules, start_waiting_runs
from jobs.schedules.service import create_schedule
from tests.factories import make_agent, schedule_fields

NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)  # a Wednesday
MINUTE = dt.timedelta(minutes=1)
_numbers = itertools.count(1)


def make_schedule(agent: Agent | None = None, *, now: dt.datetime = NOON, **fields: Any) -> Schedule:
    """A schedule that runs every minute from noon on, unless the fields change that."""
    agent = agent or make_agent()
    said: dict[str, Any] = {
        "name": f"s{next(_numbers)}", "agent": agent.pk, "message": "check", "cron": "* * * * *", "timezone": "UTC",
    }  # fmt: skip
    if "queue" in fields:
        del said["agent"]
    return create_schedule(owner_id=agent.owner_id, fields=schedule_fields(said | fields), actor="test", now=now)


def look(*minutes: float, now: dt.datetime = NOON) -> None:
    """Scan at each of these minutes after noon."""
    for after in minutes:
        start_waiting_runs(now=now + after * MINUTE)
        start_due_schedules(now=now + after * MINUTE)


def told(schedule: Schedule) -> list[str]:
    """Return its runs: minutes after noon, outcome, reason, and the number of occurrences that share the row."""
    rows = ScheduleRun.objects.filter(schedule=schedule).order_by("due_at")
    return [
        " ".join(
            filter(
                None,
                (f"{(row.due_at - NOON) / MINUTE:g}", str(row.outcome), row.reason, f"x{row.count}" * (row.count > 1)),
            )
        )
        for row in rows
    ]


def jobs_of(schedule: Schedule) -> list[Job]:
    """Return its jobs, in the order of their occurrences."""
    return list(Job.objects.filter(parent_id=schedule.pk).order_by("active_at", "id"))
