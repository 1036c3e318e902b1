"""Workloads that reach the failpoints of schedules and calendars; see `workloads.py`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from accounts.models import User
from agents.models import Agent
from jobs.life.report import ReportKind
from jobs.life.ticker import let_ticker_run
from jobs.models import Job, Missed, Overlap, Schedule, ScheduleRun, WorkCalendar
from jobs.order import OrderChange
from jobs.schedules.calendars import SHIPPED, import_calendar, read_calendar_file, warn_of_calendars
from jobs.schedules.grace import tell_of_recovered_schedules, tell_of_silent_schedules
from jobs.schedules.jobs import run_now
from jobs.schedules.scan import start_due_schedules, start_waiting_runs
from jobs.schedules.service import ScheduleFields, change_schedule, create_schedule, delete_schedule
from jobs.watch.due import CLAIM_SECONDS
from jobs.watch.service import evaluate_ends
from kernel.clock import database_now
from kernel.ids import new_id
from kernel.strictjson import parse_object
from tests.factories import claim, make_agent, make_user, report
from tests.faults.journal import Journal

_MINUTE = dt.timedelta(minutes=1)


def schedule_some(journal: Journal) -> None:
    """Create a schedule, change it, fire it by hand, remove it."""
    schedule = _schedule(journal)
    change_schedule(schedule=schedule, fields=ScheduleFields(order=OrderChange({"message": "look"})))
    journal.note("run", id=run_now(schedule, actor="test").job_id)
    delete_schedule(schedule=schedule)
    journal.note("no schedule", id=schedule.pk)


def let_occurrences_come(journal: Journal) -> None:
    """Catch up three missed runs, one after the other."""
    agent = _come(_schedule(journal))
    for _ in range(3):
        _succeed(agent)
        _scan()


def miss_some(journal: Journal) -> None:
    """A run misses its grace, and a later one succeeds."""
    agent = _come(_schedule(journal, grace_seconds=1))
    tell_of_silent_schedules()
    _succeed(agent)
    tell_of_recovered_schedules()


def evaluate_one(_journal: Journal) -> None:
    """Evaluate the end of a scheduled job."""
    agent = _come(_schedule(_journal))
    _succeed(agent)
    # A process that died holds its claim for a while.
    while evaluate_ends(now=database_now() + dt.timedelta(seconds=2 * CLAIM_SECONDS)):
        continue


def read_calendars(journal: Journal) -> None:
    """Import the shipped calendar, and warn staff about its end."""
    calendar = import_calendar(read_calendar_file(parse_object(SHIPPED.read_bytes())), actor="test")
    journal.note("calendar", code=calendar.code)
    owner = make_user(f"u{new_id()}")
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    WorkCalendar.objects.filter(pk=calendar.pk).update(warned_at=None)
    warn_of_calendars(now=database_now() + dt.timedelta(days=400))


def _schedule(journal: Journal, **more: Any) -> Schedule:
    # A process that died while it held the ticker cannot release it.
    let_ticker_run()
    agent = make_agent(owner=make_user(f"u{new_id()}"), name="worker")
    order = OrderChange({"agent": agent.pk, "message": "check"})
    fields = ScheduleFields(name="one", order=order, cron="* * * * *", timezone="UTC", **more)
    fields |= ScheduleFields(missed=Missed.ALL, overlap=Overlap.QUEUE)
    schedule = create_schedule(owner_id=agent.owner_id, fields=fields, actor="test")
    journal.note("schedule", id=schedule.pk)
    return schedule


def _come(schedule: Schedule) -> Agent:
    """Simulate a ticker that was down for three minutes and now runs; return the agent of the jobs.

    Three runs are missed at any second of the minute; the run of this minute may be in time or missed too.
    """
    assert schedule.agent is not None
    minute = database_now().replace(second=0, microsecond=0)
    Schedule.objects.filter(pk=schedule.pk).update(next_at=minute - 3 * _MINUTE)
    _scan()
    return schedule.agent


def _succeed(agent: Agent) -> None:
    job = claim(agent)
    assert job is not None
    report(agent, job, ReportKind.SUCCEED, "ok")


def _scan() -> None:
    while start_due_schedules() or start_waiting_runs():
        continue


def find_losses(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines that the database does not confirm, and scheduled jobs without a run row or the reverse."""
    found = [f"lost: {line}" for line in lines if not _is_kept(line)]
    return found + list(_unmatched())


def _is_kept(line: Mapping[str, Any]) -> bool:
    match line["do"]:
        case "schedule":
            gone = Schedule.objects.filter(pk=line["id"]).exists()
            return gone or not ScheduleRun.objects.filter(schedule_id=line["id"]).exists()
        case "no schedule":
            return not Schedule.objects.filter(pk=line["id"]).exists()
        case "run":
            return Job.objects.filter(pk=line["id"]).exists()
        case "calendar":
            return WorkCalendar.objects.filter(code=line["code"], days__isnull=False).exists()
    return True


def _unmatched() -> Iterator[str]:
    runs = dict(ScheduleRun.objects.exclude(job_id=None).values_list("job_id", "schedule_id"))
    jobs = dict(
        Job.objects.filter(parent_id__in=Schedule.objects.values("pk"), attempt=1).values_list("pk", "parent_id")
    )
    yield from (f"job {job_id} of schedule {parent}: no row" for job_id, parent in jobs.items() if job_id not in runs)
    yield from (
        f"row of schedule {schedule}: no job {job_id}" for job_id, schedule in runs.items() if job_id not in jobs
    )
