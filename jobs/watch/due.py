"""The ends that wait for their evaluation: stored with the end, claimed by a worker."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Sequence

from django.db import transaction

from jobs.life.retry import CANCELED_REASON, attempt_id
from jobs.models import DelayedJob, DueEvaluation, Job, Schedule
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove
from kernel.bells import ring
from kernel.clock import database_now
from kernel.transactions import named_transaction

BY_NAME = "job:"
BY_SCHEDULE = "schedule:"

CLAIM_SECONDS = 120
"""Longer than the time limit of a task, so that no end is evaluated by two workers at once."""

_CLAIM_LIMIT = 20
_KEPT = dt.timedelta(days=7)
_EVALUATED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED})


def subject_of(schedule_id: str) -> str:
    """Return the subject of the memory of a schedule."""
    return BY_SCHEDULE + schedule_id


def note_ends(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Observer. Store the ends of jobs with `notify` that are to be evaluated.

    It runs after the observer that retries failed jobs, so only the end of the last attempt is evaluated. Canceled jobs
    are not evaluated. A late result is evaluated once; if it is a failure, the expiry already counted as that failure.
    Jobs of a schedule that was deleted are left out.
    """
    wanted = [one for one in moved if _is_evaluated(one) and one.job.notify is not None]
    if not wanted:
        return
    next_ones = {attempt_id(one.job) for one in wanted if one.job.retries or one.move == Move.FINISH_LATE}
    followed = set(Job.objects.filter(pk__in=next_ones).values_list("pk", flat=True)) if next_ones else set()
    last = [one for one in wanted if attempt_id(one.job) not in followed]
    parents = {one.job.parent_id for one in last if one.job.parent_id}
    schedules = set(Schedule.objects.filter(pk__in=parents).values_list("pk", flat=True)) if parents else set()
    others = _delayed_and_chains(parents - schedules)
    ends = [one for one in last if one.job.parent_id is None or one.job.parent_id in schedules | others]
    DueEvaluation.objects.bulk_create(_row(one, schedules, now) for one in ends)
    if ends:
        ring("evaluation", "due")


def claim_ends(*, now: dt.datetime) -> list[DueEvaluation]:
    """Claim due ends of one owner, oldest first, and count the attempt; [] if there are none.

    The owner is drawn by lot among those of whom no end is being evaluated: the work that one owner causes does not
    delay the others. An end that was tried before is claimed alone, so that it takes no other end with it.
    """
    with named_transaction("watch.claim"):
        due = DueEvaluation.objects.filter(failed_at=None)
        busy = due.filter(claimed_until__gt=now).values("owner_id")
        owners = list(due.exclude(owner_id__in=busy).order_by().values_list("owner_id", flat=True).distinct())
        random.shuffle(owners)
        for owner_id in owners:
            oldest = due.filter(owner_id=owner_id).order_by("ended_at", "id")
            ids = list(oldest.values_list("pk", flat=True)[:_CLAIM_LIMIT])
            locked = due.select_for_update().in_bulk(sorted(ids))
            rows = [locked[pk] for pk in ids if pk in locked]
            if rows and not any(row.claimed_until and row.claimed_until > now for row in rows):
                return _claim(rows, now)
    return []


def release_ends(rows: Sequence[DueEvaluation]) -> None:
    """Give claimed ends back that were not tried."""
    for row in rows:
        row.attempts -= 1
        row.claimed_until = None
    DueEvaluation.objects.bulk_update(rows, ["attempts", "claimed_until"])


def forget_failed_ends(*, limit: int = 500, now: dt.datetime | None = None) -> int:
    """Delete at most `limit` ends that could not be evaluated seven days ago; return how many."""
    with transaction.atomic():
        old = DueEvaluation.objects.filter(failed_at__lt=(now or database_now()) - _KEPT)
        return DueEvaluation.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:limit])).delete()[0]


def _claim(rows: Sequence[DueEvaluation], now: dt.datetime) -> list[DueEvaluation]:
    """Claim the locked rows up to the first that was tried before; that one only if it is the oldest."""
    untried = list(itertools.takewhile(lambda row: row.attempts == 0, rows))
    claimed = untried or [rows[0]]
    for row in claimed:
        row.attempts += 1
        row.claimed_until = now + dt.timedelta(seconds=CLAIM_SECONDS)
    DueEvaluation.objects.bulk_update(claimed, ["attempts", "claimed_until"])
    return claimed


def _is_evaluated(one: JobMove) -> bool:
    return one.after in _EVALUATED and not (one.output is not None and one.output.reason == CANCELED_REASON)


def _delayed_and_chains(parents: set[str]) -> set[str]:
    """Return those that are delayed jobs or jobs with a `then`: what they made is evaluated like any single job."""
    found: set[str] = set()
    for rows in (DelayedJob.objects.all(), Job.objects.all()) if parents else ():
        found.update(rows.filter(pk__in=parents).values_list("pk", flat=True))
    return found


def _row(one: JobMove, schedules: set[str], now: dt.datetime) -> DueEvaluation:
    job = one.job
    name = str((job.notify or {}).get("name", ""))
    by_schedule = job.parent_id is not None and job.parent_id in schedules
    return DueEvaluation(
        owner_id=job.owner_id,
        subject=subject_of(job.parent_id or "") if by_schedule else BY_NAME + name if name else "",
        job_id=job.pk,
        number=job.events_count,
        after=one.after,
        late=one.move == Move.FINISH_LATE,
        ended_at=now,
    )
