"""Dead letters: jobs that failed for good, until their owner replays or removes them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db.models import Q

from accounts.querysets import Viewer
from jobs.life.insert import insert_jobs
from jobs.life.listing import JobPage
from jobs.life.retry import new_attempt, park
from jobs.models import Job, JobOutput, Queue
from jobs.transitions import lock_jobs
from kernel.clock import database_now
from kernel.errors import NotFound
from kernel.transactions import named_transaction

_BATCH = 500


def list_dead(*, viewer: Viewer, queue: Queue, older_than: str = "", size: int) -> JobPage:
    """Return up to `size` dead letters of a queue, the last first; those that became one before the id `older_than`.

    Ids of attempts do not grow with time, so the moment is looked up. At most three queries.
    """
    rows = Job.objects.visible_to(viewer).dead().filter(queue=queue).select_related("agent", "queue")
    edge = Job.objects.filter(queue=queue, pk=older_than).first() if older_than else None
    if edge is not None:
        # It may have been replayed since, but it ended when it became one.
        moment = edge.parked_at or edge.failed_at or edge.expired_at
        rows = rows.filter(Q(parked_at__lt=moment) | Q(parked_at=moment, pk__lt=edge.pk))
    found = list(rows.order_by("-parked_at", "-pk")[: size + 1])
    page, more = found[:size], len(found) > size
    outputs = JobOutput.objects.filter(pk__in=[job.pk for job in page]).defer("text").in_bulk()
    return JobPage(items=[(job, outputs.get(job.pk)) for job in page], older_than=page[-1].pk if more else "")


def replay_dead(*, queue: Queue, ids: Sequence[str] | None, actor: str) -> list[Job]:
    """Give these dead letters of the queue, or with None all that it has now, a new attempt; return the attempts.

    Each has the options of the job, and the retries that it had at first. A job that the queue refuses (it is full, or
    another job holds the slot) stays a dead letter. Raises NotFound, and replays nothing, for an id that is none.
    """
    made: list[Job] = []
    for batch in _batches(queue, ids):
        with named_transaction("dead.replay"):
            made += _replay(batch, actor, database_now())
    return made


def purge_dead(*, queue: Queue, ids: Sequence[str] | None) -> int:
    """Remove these dead letters of the queue, or with None all, from its list; return how many were there.

    The jobs stay as they ended. Raises NotFound, and removes nothing, for an id that is none.
    """
    count = 0
    for batch in _batches(queue, ids):
        with named_transaction("dead.purge"):
            dead = [job for job in lock_jobs(batch).values() if job.parked_at is not None]
            park(dead, None)
        count += len(dead)
    return count


def _replay(ids: Sequence[str], actor: str, now: dt.datetime) -> list[Job]:
    dead = [job for job in lock_jobs(ids).values() if job.parked_at is not None]
    first = Job.objects.in_bulk({job.root_id for job in dead})
    attempts = []
    for job in dead:
        retries = first[job.root_id].retries if job.root_id in first else 0
        attempt = new_attempt(job, now, now=now, slot=None, retries=retries)
        attempt.expires_at = _new_expiry(job, now)
        attempts.append(attempt)
    inserted = insert_jobs(attempts, now=now, actor_of={attempt.pk: actor for attempt in attempts})
    park([job for job, outcome in zip(dead, inserted, strict=True) if isinstance(outcome, Job)], None)
    return [outcome for outcome in inserted if isinstance(outcome, Job)]


def _new_expiry(job: Job, now: dt.datetime) -> dt.datetime | None:
    """Start the ttl again. A time that has passed is dropped, because the owner asks for the job now."""
    if job.ttl_seconds is not None:
        return now + dt.timedelta(seconds=job.ttl_seconds)
    return job.expires_at if job.expires_at is not None and job.expires_at > now else None


def _batches(queue: Queue, ids: Sequence[str] | None) -> list[list[str]]:
    rows = Job.objects.dead().filter(queue=queue)
    if ids is not None:
        rows = rows.filter(pk__in=ids)
    found = list(rows.order_by("pk").values_list("pk", flat=True))
    if ids is not None and set(ids) != set(found):
        raise NotFound
    return [found[at : at + _BATCH] for at in range(0, len(found), _BATCH)]
