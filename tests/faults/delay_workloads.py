"""Workloads that reach the failpoints of delayed jobs; see `workloads.py`."""

from __future__ import annotations

import datetime as dt

from agents.models import Agent
from jobs.delayed.release import release_delayed, tell_of_waiting_jobs
from jobs.life.restore import go_on_after_restore, hold_after_restore
from jobs.life.ticker import let_ticker_run
from jobs.models import DelayedJob
from kernel.clock import database_now
from kernel.ids import new_id
from tests.factories import make_agent, make_user
from tests.faults.journal import Journal
from tests.jobs.delayed_rows import delay

_HOUR = dt.timedelta(hours=1)


def fire_some(journal: Journal) -> None:
    """Insert delayed jobs that are due, and release them, also after an earlier process died."""
    # A process that died while it held the ticker cannot release it.
    let_ticker_run()
    agent = _agent(online=True)
    for number in range(3):
        _delayed(journal, agent, f"later {number}")
    while release_delayed().count:
        continue


def tell_of_some(journal: Journal) -> None:
    """Let fired jobs wait for their agent for ten minutes."""
    let_ticker_run()
    _delayed(journal, _agent(online=False), "wait")
    while release_delayed().count:
        continue
    tell_of_waiting_jobs(now=database_now() + dt.timedelta(minutes=10))


def restore_some(journal: Journal) -> None:
    """Hold due jobs after a restore, and skip them."""
    _delayed(journal, _agent(online=True), "skip")
    hold_after_restore(backup_at=database_now() - 2 * _HOUR)
    assert release_delayed().count == 0
    go_on_after_restore(skip=True)


def _agent(*, online: bool) -> Agent:
    return make_agent(owner=make_user(f"u{new_id()}"), name="worker", online=online)


def _delayed(journal: Journal, agent: Agent, message: str) -> DelayedJob:
    row = delay(agent, message, now=database_now() - _HOUR)
    journal.note("delay", id=row.pk, message=message, status=201)
    return row
