"""Due occurrences of schedules: each is decided once, and a row records the outcome."""

from __future__ import annotations

import datetime as dt

import pytest

from agents.services.manage import AgentChange, delete_agent, update_agent
from jobs.life.report import ReportKind
from jobs.models import Job, Missed, Overlap, Queue, QueueState, Schedule, ScheduleRun, Ticker
from jobs.schedules.calendars import SHIPPED, import_calendar, read_calendar_file
from jobs.schedules.jobs import run_now
from jobs.schedules.scan import forget_old_runs, start_due_schedules
from jobs.schedules.service import (
    ScheduleFields,
    change_schedule,
    delete_schedule,
    find_schedule,
    pause_schedule,
    resume_schedule,
)
from jobs.states import JobStatus
from kernel.clock import database_now
from kernel.errors import InvalidAgent
from kernel.ids import occurrence_id
from kernel.strictjson import parse_object
from notifications.models import Message
from tests.factories import claim, make_agent, report
from tests.schedules.rows import MINUTE, NOON, jobs_of, look, make_schedule, told

pytestmark = pytest.mark.django_db


def test_an_occurrence_starts_one_job_with_a_derived_id() -> None:
    schedule = make_schedule(retries=2, callback="disable", jitter_seconds=0)
    look(0.9)
    assert told(schedule) == []
    look(1.01, 1.02, 1.5)
    assert told(schedule) == ["1 started"]
    (job,) = jobs_of(schedule)
    assert job.pk == occurrence_id(schedule.pk, "20260304T120100Z")
    assert (job.message, job.agent_id, job.active_at) == ("check", schedule.agent_id, NOON + MINUTE)
    assert (job.retries, job.callback, job.source) == (2, "disable", f"schedule:{schedule.name}")
    assert ScheduleRun.objects.get().job_id == job.pk
    schedule.refresh_from_db()
    assert schedule.next_at == NOON + 2 * MINUTE
    assert claim(schedule.agent, now=NOON + 2 * MINUTE) == job  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        (Missed.SKIP, ["1 missed skip x19", "20 started"]),
        (Missed.ONCE, ["1 missed later x19", "20 started"]),
        (Missed.ALL, [*(f"{minute} started made_up" for minute in range(1, 20)), "20 started"]),
    ],
)
def test_after_twenty_minutes_without_a_tick(missed: Missed, expected: list[str]) -> None:
    schedule = make_schedule(missed=missed, overlap=Overlap.ALLOW)
    look(20.1, 20.2)
    assert told(schedule) == expected
    assert len(jobs_of(schedule)) == len([one for one in expected if "started" in one])


def test_days_without_a_tick_share_a_row() -> None:
    schedule = make_schedule(cron="*/10 * * * * *")
    while start_due_schedules(now=NOON + dt.timedelta(days=1)):
        continue
    assert told(schedule) == ["0.166667 missed window x8279", "1380 missed later x360", "1440 started"]


def test_a_clock_that_goes_back_an_hour_fires_nothing_twice() -> None:
    schedule = make_schedule(overlap=Overlap.ALLOW)
    look(1.1, 2.1, 3.1)
    look(-57, -30)
    assert len(jobs_of(schedule)) == 3
    # The same holds if its owner changes it meanwhile, so that its next run is a past one.
    change_schedule(schedule=schedule, fields=ScheduleFields(cron="0 * * * * *"), now=NOON)
    look(1.1, 2.1, 3.1, 4.1)
    assert told(schedule) == ["1 started", "2 started", "3 started", "4 started"]


def test_a_clock_that_goes_an_hour_ahead_is_an_absence() -> None:
    schedule = make_schedule(missed=Missed.SKIP, overlap=Overlap.ALLOW)
    look(1.1, 61.1, 2.1, 61.2)
    assert told(schedule) == ["1 started", "2 missed skip x59", "61 started"]


def test_a_ticker_that_is_held_starts_nothing() -> None:
    schedule = make_schedule()
    Ticker.objects.create(held_at=NOON)
    look(1.1)
    assert told(schedule) == []
    Ticker.objects.update(held_at=None)
    look(1.2)
    assert told(schedule) == ["1 started"]


def test_overlap_skip_records_the_occurrence_and_continues_after_the_end() -> None:
    schedule = make_schedule()
    agent = schedule.agent
    assert agent is not None
    look(1.1)
    job = claim(agent, now=NOON + 1.1 * MINUTE)
    assert job is not None
    look(2.1, 3.1)
    assert report(agent, job, ReportKind.SUCCEED, now=NOON + 3.5 * MINUTE) is None
    look(4.1)
    assert told(schedule) == ["1 started", "2 overlapped running x2", "4 started"]


def test_overlap_queue_lets_one_wait_and_starts_it_after_the_end() -> None:
    schedule = make_schedule(overlap=Overlap.QUEUE)
    agent = schedule.agent
    assert agent is not None
    look(1.1, 2.1, 3.1, 3.2)
    assert told(schedule) == ["1 started", "2 waiting", "3 overlapped waiting"]
    job = claim(agent, now=NOON + 3.2 * MINUTE)
    assert job is not None
    look(3.3)
    assert claim(agent, now=NOON + 3.4 * MINUTE) is None
    assert report(agent, job, ReportKind.FAIL, now=NOON + 3.5 * MINUTE) is None
    look(3.6)
    assert told(schedule) == ["1 started", "2 started", "3 overlapped waiting"]
    second = claim(agent, now=NOON + 3.7 * MINUTE)
    assert second is not None
    assert second.pk == occurrence_id(schedule.pk, "20260304T120200Z")


def test_missed_all_runs_the_missed_occurrences_one_after_the_other() -> None:
    schedule = make_schedule(missed=Missed.ALL, overlap=Overlap.QUEUE)
    agent = schedule.agent
    assert agent is not None
    look(3.9)
    assert told(schedule) == ["1 started made_up", "2 waiting made_up", "3 waiting made_up"]
    for minute in (4.0, 4.2, 4.4):
        job = claim(agent, now=NOON + minute * MINUTE)
        assert job is not None
        assert claim(agent, now=NOON + minute * MINUTE) is None
        assert report(agent, job, ReportKind.SUCCEED, now=NOON + minute * MINUTE) is None
        look(minute + 0.1)
    assert told(schedule)[:3] == ["1 started made_up", "2 started made_up", "3 started made_up"]
    delete_schedule(schedule=schedule)
    assert not ScheduleRun.objects.exists()
    assert Job.objects.count() >= 3


def test_overlap_replace_ends_the_one_before() -> None:
    schedule = make_schedule(overlap=Overlap.REPLACE)
    look(1.1, 2.1)
    assert [job.status for job in jobs_of(schedule)] == [JobStatus.CANCELED, JobStatus.QUEUING]


def test_a_pause_records_its_occurrences_and_one_without_an_end_disables() -> None:
    schedule = make_schedule()
    schedule = pause_schedule(schedule=schedule, until=NOON + 2.5 * MINUTE)
    look(1.1, 2.1, 3.1)
    assert told(schedule) == ["1 paused 2026-03-04T12:02:30.000000Z x2", "3 started"]
    schedule = pause_schedule(schedule=schedule)
    assert (schedule.enabled, schedule.next_at) == (False, None)
    look(4.1, 5.1)
    schedule = resume_schedule(schedule=schedule)
    assert schedule.enabled
    assert schedule.next_at is not None
    assert len(told(schedule)) == 2


def test_working_days_of_a_calendar() -> None:
    import_calendar(read_calendar_file(parse_object(SHIPPED.read_bytes())), actor="test")
    schedule = make_schedule(
        cron="0 8 * * *", timezone="Asia/Shanghai", calendar="cn", only_working_days=True, overlap=Overlap.ALLOW
    )
    schedule.next_at = dt.datetime(2026, 10, 6, tzinfo=dt.UTC)
    schedule.save(update_fields=["next_at"])
    for day in range(6, 13):
        start_due_schedules(now=dt.datetime(2026, 10, day, 0, 0, 5, tzinfo=dt.UTC))
    said = [(f"{row.due_at:%d}", row.outcome, row.reason) for row in ScheduleRun.objects.order_by("due_at")]
    # Saturday the 10th is a working day instead of the holiday.
    assert said == [
        ("06", "day_off", "国庆节"), ("07", "day_off", "国庆节"), ("08", "started", ""), ("09", "started", ""),
        ("10", "started", ""), ("11", "day_off", "weekend"), ("12", "started", ""),
    ]  # fmt: skip


def test_an_occurrence_that_a_clock_jump_skips_runs_once() -> None:
    schedule = make_schedule(cron="30 2 * * *", timezone="America/New_York", overlap=Overlap.ALLOW)
    schedule.next_at = dt.datetime(2026, 3, 7, 7, 30, tzinfo=dt.UTC)
    schedule.save(update_fields=["next_at"])
    for day in range(7, 10):
        for hour in range(24):
            start_due_schedules(now=dt.datetime(2026, 3, day, hour, 30, 1, tzinfo=dt.UTC))
            start_due_schedules(now=dt.datetime(2026, 3, day, hour, 59, 59, tzinfo=dt.UTC))
    assert [f"{job.active_at:%d %H:%M}" for job in jobs_of(schedule)] == ["07 07:30", "08 07:00", "09 06:30"]


def test_a_refusal_of_the_queue_is_recorded() -> None:
    agent = make_agent()
    queue = Queue.objects.create(
        owner=agent.owner, name="line", agent=agent, state=QueueState.DRAINING, created_at=NOON, updated_at=NOON
    )
    schedule = make_schedule(agent, queue="line")
    look(1.1)
    assert told(schedule) == ["1 refused QueueDraining"]
    Queue.objects.filter(pk=queue.pk).update(state=QueueState.OPEN)
    look(2.1)
    assert [job.agent_id for job in jobs_of(schedule)] == [agent.pk]


def test_jitter_puts_off_the_start_of_the_job() -> None:
    schedule = make_schedule(jitter_seconds=50)
    look(1.01)
    (job,) = jobs_of(schedule)
    assert NOON + MINUTE <= job.active_at <= NOON + MINUTE + dt.timedelta(seconds=50)


def test_by_hand_it_starts_at_once_and_the_same_request_once() -> None:
    schedule = pause_schedule(schedule=make_schedule())
    first = run_now(schedule, actor="user:x", key="k")
    assert run_now(schedule, actor="user:x", key="k").pk == first.pk
    run_now(schedule, actor="user:x")
    assert len(jobs_of(schedule)) == 2
    assert first.reason == "by_hand"


def test_removal_of_an_agent_removes_its_schedules_and_notifies_the_owner() -> None:
    agent = make_agent(online=False)
    schedule, other = make_schedule(agent), make_schedule()
    update_agent(agent=agent, change=AgentChange(enabled=False), actor="test")
    schedule.refresh_from_db()
    assert (schedule.enabled, schedule.next_at) == (False, None)
    assert ScheduleRun.objects.get(schedule=schedule).reason == "agent removed"
    assert schedule.name in Message.objects.get(owner=agent.owner).text
    other.refresh_from_db()
    assert other.enabled
    with pytest.raises(InvalidAgent):
        resume_schedule(schedule=find_schedule(viewer=agent.owner, called=schedule.name))
    update_agent(agent=agent, change=AgentChange(enabled=True), actor="test")
    resume_schedule(schedule=find_schedule(viewer=agent.owner, called=schedule.name))
    delete_agent(agent=agent, actor="test")
    assert not Schedule.objects.get(pk=schedule.pk).enabled


def test_an_unreadable_row_does_not_stop_the_others() -> None:
    broken, whole = make_schedule(), make_schedule()
    Schedule.objects.filter(pk=broken.pk).update(blackout=[{"from": "noon"}])
    assert start_due_schedules(now=NOON + 1.1 * MINUTE) == 1
    assert (told(broken), told(whole)) == ([], ["1 started"])


def test_a_schedule_without_a_next_run_is_disabled_and_its_owner_notified() -> None:
    schedule = make_schedule(cron="0 0 13 4 3 ? 2026")
    look(60.1)
    schedule.refresh_from_db()
    assert (told(schedule), schedule.enabled, schedule.next_at) == (["60 started"], True, None)
    gone = make_schedule()
    Schedule.objects.filter(pk=gone.pk).update(cron="0 0 13 4 3 ? 2020")
    look(61.1)
    gone.refresh_from_db()
    assert (gone.enabled, told(gone)[0].split()[1:]) == (False, ["paused", "never"])
    assert gone.name in Message.objects.get(owner=gone.owner).text


def test_rows_are_forgotten_after_ninety_days_and_jobs_are_not() -> None:
    schedule = make_schedule()
    look(1.1)
    assert forget_old_runs(now=database_now() + dt.timedelta(days=89)) == 0
    assert forget_old_runs(now=database_now() + dt.timedelta(days=91)) == 1
    assert (told(schedule), len(jobs_of(schedule))) == ([], 1)
