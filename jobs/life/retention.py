"""Delete what ended long ago: jobs with their events, outputs and logs, and delayed jobs. Small batches, oldest first.

A job stays, whatever its age, while something still needs it: another attempt or a job that it started has not ended,
or its own end is not evaluated yet.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from accounts.models import User
from accounts.plan import plan_of
from jobs.models import DelayedJob, DelayedState, DueEvaluation, Job
from jobs.states import ACTIVE, TERMINAL, WAITING, JobStatus
from kernel.clock import database_now
from kernel.transactions import named_transaction, retry_transaction

# One batch of outputs and logs is at most this many MiB, twice. It holds SQLite's one lock meanwhile.
_BATCH = 100
_READABLE_FOR = dt.timedelta(minutes=10)
"""A job that has just ended stays, so that its owner can read the result, even if they have too many."""

_ENDED_AT = {
    JobStatus.SUCCEEDED: "succeeded_at",
    JobStatus.FAILED: "failed_at",
    JobStatus.EXPIRED: "expired_at",
    JobStatus.CANCELED: "canceled_at",
}


def delete_old(*, until: float, now: dt.datetime | None = None) -> bool:
    """Delete until the monotonic time `until`; return whether more is left.

    First what ended JOBS_KEPT_DAYS ago, then the oldest ended jobs of each person who has more than their plan keeps.
    """
    now = now or database_now()
    if settings.JOBS_KEPT_DAYS:
        before = now - dt.timedelta(days=settings.JOBS_KEPT_DAYS)
        while delete_old_jobs(before=before) or delete_old_delayed(before=before):
            if time.monotonic() >= until:
                return True
    for owner_id, surplus in count_surplus().items():
        while surplus > 0 and (count := delete_surplus(owner_id, min(surplus, _BATCH), now=now)):
            surplus -= count
            if time.monotonic() >= until:
                return True
    return False


def delete_old_jobs(*, before: dt.datetime, limit: int = _BATCH) -> int:
    """Delete at most `limit` jobs that ended before that time; return how many."""
    for status, ended_at in _ENDED_AT.items():
        # A job is due before it ends, so the index on status and active_at finds the old ones.
        old = Job.objects.filter(status=status, active_at__lt=before, **{f"{ended_at}__lt": before})
        if ids := list(_unneeded(old).order_by("active_at").values_list("pk", flat=True)[:limit]):
            return _delete(ids)
    return 0


def delete_old_delayed(*, before: dt.datetime, limit: int = _BATCH) -> int:
    """Delete at most `limit` delayed jobs that fired or were canceled before that time; return how many.

    One whose job has not ended stays: the notice of its end needs it.
    """
    unended = Job.objects.filter(root_id=OuterRef("job_id"), status__in=WAITING | ACTIVE)
    over = DelayedJob.objects.filter(state__in=(DelayedState.FIRED, DelayedState.CANCELED), updated_at__lt=before)
    ids = list(over.exclude(Exists(unended)).order_by("due_at").values_list("pk", flat=True)[:limit])
    return DelayedJob.objects.filter(pk__in=ids).delete()[0] if ids else 0


def count_surplus() -> dict[str, int]:
    """Return, for each person who has more ended jobs than their plan keeps, how many more. Two queries."""
    counts = dict(Job.objects.terminal().order_by().values_list("owner_id").annotate(count=Count("pk")))
    surplus: dict[str, int] = {}
    for owner in User.objects.filter(pk__in=counts):
        kept = plan_of(owner).kept_jobs
        if kept is not None and counts[owner.pk] > kept:
            surplus[owner.pk] = counts[owner.pk] - kept
    return surplus


def delete_surplus(owner_id: str, count: int, *, now: dt.datetime) -> int:
    """Delete at most `count` of a person's ended jobs, the oldest first; return how many."""
    edge = now - _READABLE_FOR
    ended = Q()
    for status, ended_at in _ENDED_AT.items():
        ended |= Q(status=status, **{f"{ended_at}__lt": edge})
    old = _unneeded(Job.objects.filter(ended, owner_id=owner_id))
    return _delete(list(old.order_by("created_at", "id").values_list("pk", flat=True)[:count]))


def _unneeded(jobs: QuerySet[Job]) -> QuerySet[Job]:
    unended = Job.objects.filter(status__in=WAITING | ACTIVE)
    return jobs.exclude(
        Exists(unended.filter(root_id=OuterRef("root_id")))
        | Exists(unended.filter(parent_id=OuterRef("pk")))
        | Exists(DueEvaluation.objects.filter(job=OuterRef("pk"), failed_at=None))
    )


def _delete(ids: Sequence[str]) -> int:
    """Delete these jobs under their lock, so that a late result comes before or finds no job; return how many."""

    def delete() -> int:
        with named_transaction("retention"):
            locked = Job.objects.select_for_update().filter(pk__in=ids, status__in=TERMINAL).order_by("pk")
            still = list(locked.values_list("pk", flat=True))
            Job.objects.filter(pk__in=still).delete()
        return len(still)

    return retry_transaction(delete) if ids else 0
