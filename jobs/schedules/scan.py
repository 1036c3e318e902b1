"""The scan that finds due occurrences of schedules, decides each once, and records the outcome in a row.

One transaction locks the due schedules, writes rows and jobs, and advances each schedule to its next occurrence. So
two scans at the same time, or no scan for hours, change only when jobs start. `rules.py` holds the rules.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.db import connection, models
from django.utils.translation import gettext_lazy as _

from jobs.life.cancel import cancel_live_jobs
from jobs.life.ticker import due_time
from jobs.models import Job, Outcome, Overlap, Schedule, ScheduleRun
from jobs.querysets import JobQuerySet, ScheduleQuerySet
from jobs.schedules.cron.schedule import InvalidSchedule
from jobs.schedules.ends import switch_off, tell_owner
from jobs.schedules.jobs import Start, has_no_target, insert_starts, start_of
from jobs.schedules.rules import (
    RESULT_EXPECTED,
    Decision,
    apply_overlap,
    cron_of,
    decide,
    occurrence_of,
    occurrences_until,
    rules_of,
)
from jobs.states import ACTIVE, WAITING
from kernel.clock import database_now
from kernel.ids import lowest_id, occurrence_id
from kernel.transactions import named_transaction
from notifications.drivers.base import Words

logger = logging.getLogger(__name__)

SCAN_LIMIT = 100
KEPT = dt.timedelta(days=90)
"""Rows are kept for this long."""

_LATEST_RUNS = 5
_SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """The rows that one scan writes for one schedule."""

    schedule: Schedule
    runs: list[ScheduleRun]


def start_due_schedules(*, limit: int = SCAN_LIMIT, now: dt.datetime | None = None) -> int:
    """Decide the due occurrences of at most `limit` schedules and start their jobs; return the number of schedules.

    Does nothing while the ticker is held or right after a clock jump. A schedule whose expression has no next run is
    switched off and its owner is notified. `now` is the database's time unless a test passes another.
    """
    if not Schedule.objects.due(now or database_now()).exists():
        return 0
    with named_transaction("schedules.start"):
        now = due_time(now or database_now())
        schedules = list(_locked().due(now)[:limit]) if now is not None else []
        if now is None or not schedules:
            return 0
        models.prefetch_related_objects(schedules, "calendar__days", "agent")
        steps, looked_at = _steps(schedules, now)
        insert_starts([start for step in steps for start in _starts(step, now)], now)
        ScheduleRun.objects.bulk_create(run for step in steps for run in step.runs if run._state.adding)
        for step in steps:
            _expect(step)
        Schedule.objects.bulk_update([step.schedule for step in steps], ["next_at", "expected_at"])
    return looked_at


def start_waiting_runs(*, limit: int = SCAN_LIMIT, now: dt.datetime | None = None) -> int:
    """Start at most `limit` waiting runs whose predecessor has ended; return how many."""
    if not ScheduleRun.objects.filter(outcome=Outcome.WAITING).exists():
        return 0
    with named_transaction("schedules.wait"):
        now = due_time(now or database_now())
        if now is None:
            return 0
        ids = list(_ready().values_list("schedule_id", flat=True)[:limit])
        starts: list[Start] = []
        for schedule in _locked().filter(pk__in=ids).order_by("pk"):
            run = ScheduleRun.objects.filter(schedule=schedule, outcome=Outcome.WAITING).order_by("due_at").first()
            if run is None or not schedule.enabled:
                continue
            busy = _live(schedule)
            if busy:
                run.awaits = busy[0].root_id
                run.save(update_fields=["awaits"])
                continue
            run.outcome, run.awaits = Outcome.STARTED, None
            starts.append(start_of(schedule, run, now))
        insert_starts(starts, now)
        for start in starts:
            start.run.save(update_fields=["outcome", "reason", "job_id", "awaits"])
    return len(starts)


def forget_old_runs(*, limit: int = 500, now: dt.datetime | None = None) -> int:
    """Delete at most `limit` rows older than KEPT; return how many. Jobs stay."""
    old = ScheduleRun.objects.filter(pk__lt=lowest_id((now or database_now()) - KEPT))
    ids = list(old.exclude(outcome=Outcome.WAITING).order_by("pk").values_list("pk", flat=True)[:limit])
    ScheduleRun.objects.filter(pk__in=ids).delete()
    return len(ids)


def _locked() -> ScheduleQuerySet:
    """Return a locking query that skips rows which another scan has locked."""
    return Schedule.objects.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)


def _steps(schedules: Sequence[Schedule], now: dt.datetime) -> tuple[list[_Step], int]:
    """Decide the due occurrences of each schedule; return the rows to write and the number of readable schedules."""
    rows = ScheduleRun.objects.filter(schedule__in=schedules).order_by().values_list("schedule_id")
    latest = dict(rows.annotate(models.Max("due_at")))
    steps: list[_Step] = []
    misread = 0
    for schedule in schedules:
        if has_no_target(schedule):
            _end(schedule, "agent removed", _("The schedule %(name)s is off: its agent or queue is gone."), now)
            continue
        known = _known(schedule, latest.get(schedule.pk))
        try:
            decisions = _decisions(schedule, known, now)
        except InvalidSchedule as error:
            sentence = _("The schedule %(name)s is off: its expression has no next run any more.")
            _end(schedule, error.reason, sentence, now)
        except Exception:
            # One unreadable row must not stop all other schedules.
            logger.exception("unreadable schedule", extra={"action": "schedule.error", "schedule": schedule.pk})
            misread += 1
        else:
            steps.append(_Step(schedule=schedule, runs=_rows(schedule, _arranged(schedule, decisions, now), now)))
    return steps, len(schedules) - misread


def _known(schedule: Schedule, latest: dt.datetime | None) -> set[dt.datetime]:
    """Return the occurrences from `next_at` on that were decided before. A clock that was set back repeats them."""
    if latest is None or schedule.next_at is None or latest < schedule.next_at:
        return set()
    rows = ScheduleRun.objects.filter(schedule=schedule, due_at__gte=schedule.next_at)
    return set(rows.values_list("due_at", flat=True))


def _decisions(schedule: Schedule, known: set[dt.datetime], now: dt.datetime) -> list[Decision]:
    """Decide the due occurrences of a schedule and set `next_at` on the object. Does not write to the database."""
    first = schedule.next_at or now
    cron = cron_of(schedule, after=first - _SECOND)
    rules = rules_of(schedule, cron)
    due, following = occurrences_until(first, cron.next_after, rules, now)
    decisions = decide([at for at in due if at not in known], rules, now=now)
    schedule.next_at = following
    return decisions


def _end(schedule: Schedule, reason: str, sentence: Words, now: dt.datetime) -> None:
    logger.warning("schedule switched off", extra={"action": "schedule.off", "schedule": schedule.pk, "why": reason})
    switch_off([schedule], reason=reason, now=now)
    tell_owner(schedule, sentence, now=now)


def _arranged(schedule: Schedule, decisions: Sequence[Decision], now: dt.datetime) -> list[Decision]:
    overlap = Overlap(schedule.overlap)
    if overlap == Overlap.ALLOW or all(decision.outcome != Outcome.STARTED for decision in decisions):
        return list(decisions)
    live = _live(schedule)
    if overlap == Overlap.REPLACE:
        cancel_live_jobs([job.pk for job in live], actor=_actor(schedule), now=now)
    waits = ScheduleRun.objects.filter(schedule=schedule, outcome=Outcome.WAITING)
    waiting = overlap == Overlap.QUEUE and waits.exists()
    return apply_overlap(decisions, overlap, busy=bool(live), waiting=waiting)


def _live(schedule: Schedule) -> list[Job]:
    """Return the jobs of the schedule's latest runs that have not ended, whatever their attempt."""
    latest = ScheduleRun.objects.filter(schedule=schedule).exclude(job_id=None).order_by("-due_at")
    roots = list(latest.values_list("job_id", flat=True)[:_LATEST_RUNS])
    return list(_unended().filter(root_id__in=roots).order_by("-active_at"))


def _unended() -> JobQuerySet:
    return Job.objects.filter(status__in=WAITING | ACTIVE)


def _rows(schedule: Schedule, decisions: Iterable[Decision], now: dt.datetime) -> list[ScheduleRun]:
    """Return one row for each occurrence that runs or waits.

    Consecutive occurrences that do not run for the same reason share a row. They also join the previous row of the
    schedule if it has the same reason and the same hour.
    """
    rows: list[ScheduleRun] = []
    for (outcome, reason), group in groupby(decisions, key=lambda one: (one.outcome, one.reason)):
        members = list(group)
        if outcome in (Outcome.STARTED, Outcome.WAITING):
            rows += [_row(schedule, one, 1, now) for one in members]
        elif not rows and (before := _same_before(schedule, outcome, reason, now)) is not None:
            ScheduleRun.objects.filter(pk=before.pk).update(count=models.F("count") + len(members))
            _expect_from(schedule, outcome, members[0].due_at)
        else:
            rows.append(_row(schedule, members[0], len(members), now))
    return rows


def _row(schedule: Schedule, decision: Decision, count: int, now: dt.datetime) -> ScheduleRun:
    return ScheduleRun(
        schedule=schedule,
        due_at=decision.due_at,
        outcome=decision.outcome,
        reason=decision.reason[:255],
        count=count,
        created_at=now,
    )


def _same_before(schedule: Schedule, outcome: str, reason: str, now: dt.datetime) -> ScheduleRun | None:
    """Return the newest row of the schedule if it has this outcome and reason and was made in this hour."""
    newest = ScheduleRun.objects.filter(schedule=schedule).order_by("-pk").first()
    if newest is None or (newest.outcome, newest.reason) != (outcome, reason):
        return None
    hour = now.replace(minute=0, second=0, microsecond=0)
    return newest if newest.created_at >= hour else None


def _starts(step: _Step, now: dt.datetime) -> list[Start]:
    """Return the jobs of the runs that start, and set `awaits` on the runs that wait."""
    starts: list[Start] = []
    awaited = ""
    for run in step.runs:
        if run.outcome == Outcome.STARTED:
            starts.append(start_of(step.schedule, run, now))
            awaited = starts[-1].job.pk
        elif run.outcome == Outcome.WAITING:
            run.awaits = awaited or next((job.root_id for job in _live(step.schedule)), None)
            awaited = occurrence_id(step.schedule.pk, occurrence_of(run.due_at))
    return starts


def _actor(schedule: Schedule) -> str:
    return f"schedule:{schedule.pk}"


def _ready() -> models.QuerySet[ScheduleRun]:
    """Return the first waiting run of each schedule whose predecessor has ended."""
    awaited = _unended().filter(root_id=models.OuterRef("awaits"))
    earlier = ScheduleRun.objects.filter(
        outcome=Outcome.WAITING, schedule=models.OuterRef("schedule"), due_at__lt=models.OuterRef("due_at")
    )
    waiting = ScheduleRun.objects.filter(outcome=Outcome.WAITING)
    return waiting.exclude(models.Exists(awaited)).exclude(models.Exists(earlier)).order_by("due_at")


def _expect(step: _Step) -> None:
    """Start the grace at the first occurrence that should bring a result, unless it already runs."""
    for run in step.runs:
        _expect_from(step.schedule, run.outcome, run.due_at)


def _expect_from(schedule: Schedule, outcome: str, due_at: dt.datetime) -> None:
    if schedule.grace_seconds is not None and schedule.expected_at is None and outcome in RESULT_EXPECTED:
        schedule.expected_at = due_at + dt.timedelta(seconds=schedule.grace_seconds)
