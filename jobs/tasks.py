"""The tasks that beat runs: scans for due work. Each calls one service; a second or late run changes only timing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from celery import shared_task

from jobs.coyotes.failed import forget_old_failed_tasks
from jobs.delayed import ends as delayed_ends
from jobs.delayed import release
from jobs.life import offline, overdue, retention, upkeep
from jobs.schedules import calendars, grace, scan
from jobs.watch import due, service

_LONGEST_SECONDS = 4.0
_TICK_SECONDS = 1.0
_TURN_SECONDS = 1.0


def _until_done(sweep: Callable[[], int]) -> None:
    """Sweep batch after batch until nothing is found, or until it is time for the next tick."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while sweep() and time.monotonic() < deadline:
        continue


@shared_task(name="jobs.sweep_offline")
def sweep_offline() -> None:
    """Mark silent agents offline and end the jobs that may not wait for them."""
    _until_done(offline.mark_silent_agents)
    _until_done(offline.expire_jobs_of_absent_agents)


@shared_task(name="jobs.sweep_overdue")
def sweep_overdue() -> None:
    """Expire jobs whose lease or wait is over."""
    _until_done(overdue.expire_overdue_jobs)


@shared_task(name="jobs.sweep_lost_bells")
def sweep_lost_bells() -> None:
    """Ring agents whose bell was lost."""
    upkeep.ring_lost_bells()


@shared_task(name="jobs.sweep_keys")
def sweep_keys() -> None:
    """Free old idempotency keys."""
    _until_done(upkeep.forget_old_keys)
    _until_done(delayed_ends.forget_old_delayed_keys)


@shared_task(name="jobs.release_delayed")
def release_delayed() -> None:
    """Fire what is due until the next tick, which beat gives in whole seconds: so nothing waits for a tick.

    If nothing is due, this costs one query. A long backlog is left to the next tick too: other sweeps have their turn
    between two of them.
    """
    release.release_while(_TICK_SECONDS)


@shared_task(name="jobs.tell_of_waiting")
def tell_of_waiting() -> None:
    """Tell owners of delayed jobs that wait for their agent."""
    _until_done(release.tell_of_waiting_jobs)


@shared_task(name="jobs.start_schedules")
def start_schedules() -> None:
    """Start what is due of schedules, and what waited for a run that has ended."""
    _until_done(scan.start_waiting_runs)
    _until_done(scan.start_due_schedules)


@shared_task(name="jobs.sweep_silent_schedules")
def sweep_silent_schedules() -> None:
    """Tell owners of schedules that brought no result in time, and of those that do again."""
    grace.tell_of_silent_schedules()
    grace.tell_of_recovered_schedules()


@shared_task(name="jobs.sweep_old_runs")
def sweep_old_runs() -> None:
    """Delete old outcomes of schedules."""
    _until_done(scan.forget_old_runs)


@shared_task(name="jobs.warn_of_calendars")
def warn_of_calendars() -> None:
    """Tell staff of calendars whose list of days ends."""
    calendars.warn_of_calendars()


@shared_task(name="jobs.sweep_failed_tasks")
def sweep_failed_tasks() -> None:
    """Forget tasks of the coyotes calls that failed long ago."""
    _until_done(forget_old_failed_tasks)


@shared_task(name="jobs.evaluate_ends")
def evaluate_ends() -> None:
    """Evaluate ends of jobs for about a second. Then the other tasks have their turn, and the rest queues up again."""
    deadline = time.monotonic() + _TURN_SECONDS
    while service.evaluate_ends(until=deadline):
        if time.monotonic() >= deadline:
            wake_evaluator(())
            return


@shared_task(name="jobs.delete_old")
def delete_old() -> None:
    """Delete what ended long ago, for about a second; then the other tasks have their turn and the rest queues up."""
    if retention.delete_old(until=time.monotonic() + _TURN_SECONDS):
        delete_old.apply_async(retry=False)


@shared_task(name="jobs.sweep_failed_ends")
def sweep_failed_ends() -> None:
    """Delete old ends that could not be evaluated."""
    _until_done(due.forget_failed_ends)


def wake_evaluator(_ids: Sequence[str]) -> None:
    """Queue a task that evaluates ends, without retries: the sweep repairs a lost one."""
    evaluate_ends.apply_async(retry=False)
