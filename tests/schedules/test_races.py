"""Races of scans with scans, owners and agents."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from jobs.life.report import ReportKind
from jobs.models import Job, Overlap, Schedule, ScheduleRun
from jobs.schedules.jobs import run_now
from jobs.schedules.scan import start_due_schedules, start_waiting_runs
from tests.factories import claim, make_agent, report
from tests.schedules.rows import MINUTE, NOON, look, make_schedule

pytestmark = pytest.mark.django_db(transaction=True)


def _at_once(*works: Callable[[], object]) -> None:
    """Run these in parallel, each on its own connection."""
    gate = Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            connection.ensure_connection()
            gate.wait(10)
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as threads:
        for done in [threads.submit(run, work) for work in works]:
            done.result(60)


def _scan(after: float) -> Callable[[], None]:
    def scan() -> None:
        while start_due_schedules(limit=3, now=NOON + after * MINUTE):
            continue

    return scan


def test_three_scans_at_once_decide_each_occurrence_once() -> None:
    agent = make_agent()
    for _ in range(8):
        make_schedule(agent, overlap=Overlap.ALLOW, missed="all")
    for after in (1.1, 4.2):
        _at_once(*[_scan(after)] * 3)
    assert Job.objects.count() == ScheduleRun.objects.count() == 8 * 4
    assert {schedule.next_at for schedule in Schedule.objects.all()} == {NOON + 5 * MINUTE}


def test_a_waiting_run_starts_once_beside_a_manual_run() -> None:
    agent = make_agent()
    schedule = make_schedule(agent, overlap=Overlap.QUEUE)
    look(1.1, 2.1)
    job = claim(agent, now=NOON + 2.2 * MINUTE)
    assert job is not None
    report(agent, job, ReportKind.SUCCEED, now=NOON + 2.3 * MINUTE)

    def start() -> None:
        start_waiting_runs(now=NOON + 2.4 * MINUTE)

    def by_hand() -> None:
        run_now(schedule, actor="test", key="once", now=NOON + 2.5 * MINUTE)

    _at_once(start, start, by_hand, by_hand)
    # If the manual run came first, the waiting run still waits for it.
    assert Job.objects.filter(occurrence="20260304T120200Z").count() <= 1
    assert Job.objects.filter(occurrence__startswith="run:").count() == 1
    assert Job.objects.count() == ScheduleRun.objects.exclude(job_id=None).count()
