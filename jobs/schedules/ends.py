"""Switch schedules off: when their agent goes, their owner is frozen, or their expression has no next run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from jobs.models import Outcome, Schedule, ScheduleRun
from notifications.drivers.base import Words
from notifications.messages.notify import notify_owner
from notifications.models import Level


def disable_schedules_of_agent(agent_id: str, actor: str, now: dt.datetime) -> None:
    """Switch off the schedules of a deleted or disabled agent in the caller's transaction, and notify their owner."""
    rows = list(Schedule.objects.select_for_update().filter(agent_id=agent_id, enabled=True).order_by("pk"))
    switch_off(rows, reason="agent removed", now=now)
    for schedule in rows:
        tell_owner(schedule, _("The schedule %(name)s is off: its agent was removed or disabled."), now=now)


def disable_schedules_of_user(user_id: str, now: dt.datetime) -> None:
    """Switch off the schedules of a frozen user, in the caller's transaction."""
    rows = list(Schedule.objects.select_for_update().filter(owner_id=user_id, enabled=True).order_by("pk"))
    switch_off(rows, reason="user frozen", now=now)


def switch_off(schedules: Sequence[Schedule], *, reason: str, now: dt.datetime) -> None:
    """Switch locked schedules off and record the reason as a row in their list of runs."""
    drop_waiting(*schedules)
    for schedule in schedules:
        schedule.enabled, schedule.next_at, schedule.expected_at, schedule.alerted_at = False, None, None, None
        schedule.save(update_fields=["enabled", "next_at", "expected_at", "alerted_at"])
    ScheduleRun.objects.bulk_create(
        ScheduleRun(schedule=schedule, due_at=now, outcome=Outcome.PAUSED, reason=reason, created_at=now)
        for schedule in schedules
    )


def tell_owner(
    schedule: Schedule, sentence: Words, *, now: dt.datetime, level: str = Level.WARNING, **words: str
) -> None:
    """Send the owner a sentence about the schedule. It replaces an older notice about it that still waits."""
    params = {"name": schedule.name, **words}
    notify_owner(schedule.owner, sentence, params, now=now, level=level, key=f"schedule:{schedule.pk}")


def drop_waiting(*schedules: Schedule) -> None:
    """Mark the waiting runs of these schedules as overlapped, in the caller's transaction, so that none starts."""
    waiting = ScheduleRun.objects.filter(schedule__in=schedules, outcome=Outcome.WAITING)
    waiting.update(outcome=Outcome.OVERLAPPED, reason="disabled", awaits=None)
