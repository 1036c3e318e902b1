"""What leads to the failpoints of what is told only when it changed."""

from __future__ import annotations

from jobs.models import WatchMemory
from jobs.services.report import ReportKind
from jobs.services.schedule_jobs import run_now
from jobs.services.schedules import ScheduleFields, create_schedule
from jobs.services.watching import forget_schedule
from kernel.ids import new_id
from tests.factories import claim, make_agent, make_user, report
from tests.faults.evidence import Journal


def watch_some(journal: Journal) -> None:
    """Let a schedule bring two results, told with the second, and forget them."""
    agent = make_agent(owner=make_user(f"u{new_id()}"), name="worker")
    fields = ScheduleFields(name="seats", agent=agent.pk, message="look", cron="@yearly", notify={"when": "change"})
    schedule = create_schedule(owner_id=agent.owner_id, fields=fields, actor="test")
    journal.note("schedule", id=schedule.pk)
    for page in ("Sat 09:00", "Sat 09:00\nSun 10:00"):
        run_now(schedule, actor="test")
        job = claim(agent)
        assert job is not None
        report(agent, job, ReportKind.SUCCEED, page)
    forget_schedule(schedule)
    assert WatchMemory.objects.get(owner_id=agent.owner_id).content == {}
