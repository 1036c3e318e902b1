"""The jobs of schedules: made of a moment or by hand, and inserted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.utils.translation import gettext_lazy as _

from agents.services.find import is_usable
from jobs.life.insert import insert_jobs, new_job
from jobs.models import Job, Outcome, Schedule, ScheduleRun
from jobs.order import JobOrder
from jobs.schedules.rules import occurrence_of, spread
from jobs.watch.service import notify_of
from kernel.clock import database_now
from kernel.errors import AppError, InvalidAgent
from kernel.idempotency import digest_of_key
from kernel.ids import new_id, occurrence_id
from kernel.transactions import named_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A job to insert, and the row of its run."""

    job: Job
    run: ScheduleRun


def run_now(schedule: Schedule, *, actor: str, key: str | None = None, now: dt.datetime | None = None) -> ScheduleRun:
    """Start a job of the schedule at once, whatever its other rules; return the row of the run.

    The same `key` again: the run that it made. Raises what its queue refuses.
    """
    with named_transaction("schedule.run"):
        now = now or database_now()
        schedule = Schedule.objects.select_for_update().get(pk=schedule.pk)
        word = (digest_of_key(key) or new_id().replace("-", ""))[:24]
        job_id = occurrence_id(schedule.pk, f"run:{word}")
        before = ScheduleRun.objects.filter(schedule=schedule, job_id=job_id).first()
        if before is not None:
            return before
        if has_no_target(schedule):
            raise InvalidAgent(_("The agent or queue of this schedule is gone or disabled."))
        run = ScheduleRun(
            schedule=schedule, due_at=now, outcome=Outcome.STARTED, reason="by_hand", job_id=job_id, created_at=now
        )
        job = _job(schedule, job_id=job_id, occurrence=f"run:{word}", active_at=now, now=now)
        (made,) = insert_jobs([job], now=now, actor_of={job_id: actor})
        if isinstance(made, AppError):
            raise made
        run.save(force_insert=True)
    return run


def has_no_target(schedule: Schedule) -> bool:
    """Tell whether its jobs cannot run: the agent or the queue is gone, or the agent is disabled."""
    agent = schedule.agent
    return schedule.queue_id is None if agent is None else not is_usable(agent)


def start_of(schedule: Schedule, run: ScheduleRun, now: dt.datetime) -> Start:
    """Return the unsaved job of a moment, and write its id, which follows from the moment, on the run."""
    occurrence = occurrence_of(run.due_at)
    run.job_id = occurrence_id(schedule.pk, occurrence)
    active_at = run.due_at + spread(run.job_id, schedule.jitter_seconds)
    job = _job(schedule, job_id=run.job_id, occurrence=occurrence, active_at=active_at, now=now)
    return Start(job=job, run=run)


def _job(schedule: Schedule, *, job_id: str, occurrence: str, active_at: dt.datetime, now: dt.datetime) -> Job:
    order = JobOrder.of(schedule)
    return new_job(
        replace(order, source=order.source or f"schedule:{schedule.name}", notify=notify_of(schedule)),
        job_id=job_id,
        owner_id=schedule.owner_id,
        agent_id=schedule.agent_id,
        queue_id=schedule.queue_id,
        now=now,
        active_at=active_at,
        parent_id=schedule.pk,
        occurrence=occurrence,
    )


def insert_starts(starts: Sequence[Start], now: dt.datetime) -> None:
    """Insert these jobs; what their queue refuses is written on the run."""
    jobs = [start.job for start in starts]
    made = insert_jobs(jobs, now=now, actor_of={job.pk: f"schedule:{job.parent_id}" for job in jobs})
    for start, outcome in zip(starts, made, strict=True):
        if isinstance(outcome, AppError):
            start.run.outcome, start.run.reason, start.run.job_id = Outcome.REFUSED, outcome.code, None
