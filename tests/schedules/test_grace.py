"""A schedule that misses its grace: one alert, and one notice when it recovers."""

from __future__ import annotations

import datetime as dt

import pytest

from agents.models import Agent
from jobs.life.report import ReportKind
from jobs.models import Missed, Overlap, Schedule
from jobs.schedules.grace import tell_of_recovered_schedules, tell_of_silent_schedules
from jobs.schedules.service import ScheduleFields, change_schedule, pause_schedule
from notifications.models import Message
from tests.factories import claim, make_agent, report
from tests.schedules.rows import MINUTE, NOON, look, make_schedule

pytestmark = pytest.mark.django_db


def _every_ten(agent: Agent, **more: object) -> Schedule:
    return make_schedule(
        agent, cron="*/10 * * * *", grace_seconds=300, overlap=Overlap.ALLOW, callback="disable", **more
    )


def _sweep(after: float) -> list[str]:
    """Run the sweeps `after` minutes after noon; return the levels of all messages."""
    tell_of_silent_schedules(now=NOON + after * MINUTE)
    tell_of_recovered_schedules(now=NOON + after * MINUTE)
    return list(Message.objects.order_by("created_at").values_list("level", flat=True))


def _end(agent: Agent, after: float, kind: ReportKind = ReportKind.SUCCEED) -> None:
    job = claim(agent, now=NOON + after * MINUTE)
    assert job is not None
    assert report(agent, job, kind, now=NOON + after * MINUTE) is None


def test_a_missed_grace_is_one_alert_and_recovery_one_notice() -> None:
    agent = make_agent()
    schedule = _every_ten(agent)
    look(10.1)
    _end(agent, 11)
    assert _sweep(15.5) == []
    look(20.1)
    _end(agent, 21, ReportKind.FAIL)
    assert _sweep(24.9) == []
    assert _sweep(25.1) == ["warning"]
    look(30.1)
    assert _sweep(36) == ["warning"]
    _end(agent, 37)
    assert _sweep(37.1) == ["warning", "info"]
    assert _sweep(37.2) == ["warning", "info"]
    warning, recovery = Message.objects.order_by("created_at")
    assert schedule.name in warning.text
    assert "2026-03-04 12:25:00" in warning.text
    assert schedule.name in recovery.text
    # The schedule is watched again.
    look(40.1)
    assert _sweep(45.1) == ["warning", "info", "warning"]


def test_missed_and_blacked_out_runs_count_for_grace_and_paused_ones_do_not() -> None:
    missed = _every_ten(make_agent(), missed=Missed.SKIP)
    paused = _every_ten(make_agent())
    pause_schedule(schedule=paused, until=NOON + dt.timedelta(hours=1))
    look(25)
    _sweep(26)
    assert [message.owner_id for message in Message.objects.all()] == [missed.owner_id]
    assert Schedule.objects.get(pk=paused.pk).expected_at is None


def test_a_second_attempt_that_ends_well_in_time_is_good() -> None:
    agent = make_agent()
    _every_ten(agent, retries=1, backoff=[10])
    look(10.1)
    _end(agent, 11, ReportKind.FAIL)
    _end(agent, 12)
    assert _sweep(15.5) == []


def test_without_grace_nothing_is_expected_any_more() -> None:
    schedule = _every_ten(make_agent())
    look(10.1)
    change_schedule(schedule=schedule, fields=ScheduleFields(grace_seconds=None), now=NOON + 11 * MINUTE)
    assert _sweep(30) == []
