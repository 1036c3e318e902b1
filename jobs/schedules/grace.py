"""Alerts for schedules whose expected success did not come in time, and notices of their recovery.

An occurrence that should bring a result sets `expected_at` unless it is set. A run of that occurrence or a later one
that succeeds meets the expectation. A sweep checks this, so no job transition pays for it.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from jobs.life.ticker import due_time
from jobs.models import Job, Schedule, ScheduleRun
from jobs.schedules.ends import tell_owner
from jobs.schedules.rules import RESULT_EXPECTED
from jobs.states import JobStatus
from kernel.clock import database_now
from kernel.transactions import named_transaction
from notifications.models import Level

SWEEP_LIMIT = 200


def tell_of_silent_schedules(*, limit: int = SWEEP_LIMIT, now: dt.datetime | None = None) -> int:
    """Alert owners, once, of schedules without a success within their grace; return how many schedules were checked.

    Checks at most `limit` schedules. A schedule whose result came in time expects the result of its next occurrence.
    """
    now = due_time(now or database_now())
    if now is None:
        return 0
    due = Schedule.objects.filter(expected_at__lte=now, alerted_at=None)
    ids = list(due.order_by("expected_at").values_list("pk", flat=True)[:limit])
    for schedule_id in ids:
        with named_transaction("grace.silent"):
            schedule = due.select_for_update().filter(pk=schedule_id).first()
            if schedule is not None and not _settle_expectation(schedule):
                schedule.alerted_at = now
                schedule.save(update_fields=["alerted_at"])
                sentence = _("The schedule %(name)s should have brought a good result by %(time)s, and has not.")
                tell_owner(schedule, sentence, now=now, time=_local(schedule))
    return len(ids)


def tell_of_recovered_schedules(*, now: dt.datetime | None = None) -> int:
    """Tell owners that a schedule they were alerted of has succeeded again; return how many."""
    now = now or database_now()
    recovered = 0
    silent = Schedule.objects.exclude(alerted_at=None)
    for schedule_id in list(silent.order_by("pk").values_list("pk", flat=True)):
        with named_transaction("grace.recovered"):
            schedule = silent.select_for_update().filter(pk=schedule_id).first()
            if schedule is not None and _settle_expectation(schedule):
                recovered += 1
                sentence = _("The schedule %(name)s has brought a good result again.")
                tell_owner(schedule, sentence, now=now, level=Level.INFO)
    return recovered


def _settle_expectation(schedule: Schedule) -> bool:
    """Tell whether the expected success came. If it did, expect the next one: writes `expected_at` and `alerted_at`."""
    if schedule.expected_at is None or schedule.grace_seconds is None:
        return True
    grace = dt.timedelta(seconds=schedule.grace_seconds)
    good = _last_good(schedule, schedule.expected_at - grace, grace)
    if good is None:
        return False
    later = ScheduleRun.objects.filter(schedule=schedule, due_at__gt=good, outcome__in=RESULT_EXPECTED)
    following = later.order_by("due_at").values_list("due_at", flat=True).first()
    schedule.expected_at = None if following is None else following + grace
    schedule.alerted_at = None
    schedule.save(update_fields=["expected_at", "alerted_at"])
    return True


def _last_good(schedule: Schedule, since: dt.datetime, grace: dt.timedelta) -> dt.datetime | None:
    """Return when a run last succeeded, whatever its attempt, if that was not before `since`."""
    # An earlier run that took long and succeeded after `since` counts too.
    begun = since - grace
    runs = ScheduleRun.objects.filter(schedule=schedule, due_at__gte=begun).exclude(job_id=None)
    good = Job.objects.filter(root_id__in=runs.values("job_id"), status=JobStatus.SUCCEEDED, succeeded_at__gte=since)
    last: dt.datetime | None = good.aggregate(last=Max("succeeded_at"))["last"]
    return last


def _local(schedule: Schedule) -> str:
    expected = schedule.expected_at
    return f"{expected.astimezone(ZoneInfo(schedule.timezone)):%Y-%m-%d %H:%M:%S}" if expected is not None else ""
