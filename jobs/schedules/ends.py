"""Schedules are switched off: with their agent, with a frozen owner, or because their expression is over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from jobs.models import Outcome, Schedule, ScheduleRun
from notifications.messages.accept import NewMessage, accept_messages
from notifications.models import Level


def disable_schedules_of_agent(agent_id: str, actor: str, now: dt.datetime) -> None:
    """Switch off the schedules of an agent that was deleted or disabled, in the caller's transaction.

    Their owner is told.
    """
    rows = list(Schedule.objects.select_for_update().filter(agent_id=agent_id, enabled=True).order_by("pk"))
    switch_off(rows, reason="agent removed", now=now)
    for schedule in rows:
        tell_owner(schedule, _("The schedule %(name)s is off: its agent was removed or disabled."), now=now)


def disable_schedules_of_user(user_id: str, now: dt.datetime) -> None:
    """Switch off the schedules of a frozen user, in the caller's transaction."""
    rows = list(Schedule.objects.select_for_update().filter(owner_id=user_id, enabled=True).order_by("pk"))
    switch_off(rows, reason="user frozen", now=now)


def switch_off(schedules: Sequence[Schedule], *, reason: str, now: dt.datetime) -> None:
    """Switch locked schedules off and say why in the list of their runs."""
    drop_waiting(*schedules)
    for schedule in schedules:
        schedule.enabled, schedule.next_at, schedule.expected_at, schedule.alerted_at = False, None, None, None
        schedule.save(update_fields=["enabled", "next_at", "expected_at", "alerted_at"])
    ScheduleRun.objects.bulk_create(
        ScheduleRun(schedule=schedule, due_at=now, outcome=Outcome.PAUSED, reason=reason, created_at=now)
        for schedule in schedules
    )


def tell_owner(
    schedule: Schedule, sentence: object, *, now: dt.datetime, level: str = Level.WARNING, **words: str
) -> None:
    """Send the owner a sentence with the schedule's name in it; it replaces what still waits about this schedule."""
    with translation.override(schedule.owner.language or settings.LANGUAGE_CODE):
        text = str(sentence) % {"name": schedule.name, **words}
    wish = NewMessage(
        owner_id=schedule.owner_id, text=text, level=level, source="LetServer", key=f"schedule:{schedule.pk}"
    )
    accept_messages([wish], now=now)


def drop_waiting(*schedules: Schedule) -> None:
    """Let no run of these start that waits for the one before it, in the caller's transaction."""
    waiting = ScheduleRun.objects.filter(schedule__in=schedules, outcome=Outcome.WAITING)
    waiting.update(outcome=Outcome.OVERLAPPED, reason="disabled", awaits=None)
