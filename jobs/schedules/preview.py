"""The next runs of a schedule, in times and words, for stored schedules and for fields that are not stored yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext

from accounts.models import User
from jobs.models import Schedule
from jobs.schedules.cron.schedule import Cron
from jobs.schedules.rules import Rules, coming_runs, cron_of, rules_of
from jobs.schedules.service import ScheduleFields, apply_fields, plan
from kernel.clock import database_now

PREVIEW_RUNS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The meaning of an expression and its rules. `warnings` are sentences in the active language."""

    cron: Cron
    rules: Rules
    runs: Sequence[dt.datetime]
    warnings: Sequence[str]


def preview_fields(*, owner_id: str, fields: ScheduleFields, now: dt.datetime | None = None) -> Preview:
    """Preview a schedule with these fields without creating it.

    Raises InvalidSchedule and InvalidRequest like `create_schedule`. Name, agent and message may be missing.
    """
    now = now or database_now()
    owner = User.objects.get(pk=owner_id)
    schedule = Schedule(owner=owner, timezone=settings.TIME_ZONE, created_at=now)
    apply_fields(owner, schedule, fields)
    plan(owner, schedule, now)
    return preview_schedule(schedule, now=now)


def preview_schedule(schedule: Schedule, *, now: dt.datetime | None = None) -> Preview:
    """Preview the next ten runs of a schedule. Raises InvalidSchedule if it never runs again."""
    now = now or database_now()
    cron = cron_of(schedule, after=now)
    rules = rules_of(schedule, cron)
    runs = coming_runs(cron, rules, now=now, count=PREVIEW_RUNS)
    warnings = list(cron.warnings)
    known_until = schedule.calendar.known_until if schedule.calendar is not None else None
    if schedule.calendar is not None and runs and known_until and runs[-1].date() > known_until:
        warnings.append(
            gettext("The calendar %(code)s knows holidays only up to %(day)s; later runs may move.")
            % {"code": schedule.calendar.code, "day": known_until}
        )
    if len(runs) < PREVIEW_RUNS:
        warnings.append(gettext("No more runs were found: its last year is near, or its other rules leave none."))
    return Preview(cron=cron, rules=rules, runs=runs, warnings=warnings)
