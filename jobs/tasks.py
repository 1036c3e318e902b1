"""What beat rings: scans for what is due. Each is one service; running twice or late changes nothing but timing."""

from __future__ import annotations

import time
from collections.abc import Callable

from celery import shared_task

from jobs.services import offline, overdue, upkeep

_LONGEST_SECONDS = 4.0


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
