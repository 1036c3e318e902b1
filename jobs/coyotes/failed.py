"""Failed tasks: the dead letters of channels, kept for 30 days."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from jobs.coyotes.task import LISTED_TASKS, Task, named_in, task_of_job
from jobs.coyotes.words import NO_TASK, Refusal
from jobs.models import Job, Queue
from jobs.queues.dead_letters import purge_dead, replay_dead
from kernel.clock import database_now
from kernel.errors import NotFound

KEEP_FAILED = dt.timedelta(days=30)


def failed_tasks(queue: Queue) -> dict[str, Task]:
    """Return the failed tasks of a channel by id, sorted; the latest LISTED_TASKS."""
    rows = _failed(queue).order_by("-parked_at", "-id")[:LISTED_TASKS]
    tasks = [task_of_job(job, queue) for job in rows]
    return {task.task_id: task for task in sorted(tasks, key=lambda task: task.task_id)}


def failed_job(queue: Queue, task_id: str) -> Job:
    """Return the dead letter that is a failed task. Raises Refusal."""
    return named_in(_failed(queue), queue, task_id)


def retry_failed_task(queue: Queue, task_id: str, *, actor: str) -> None:
    """Start a failed task again. Raises Refusal; one whose like waits or runs already stays a failed one."""
    job = failed_job(queue, task_id)
    try:
        attempts = replay_dead(queue=queue, ids=[job.pk], actor=actor)
    except NotFound as error:
        raise Refusal(NO_TASK) from error
    if not attempts:
        raise Refusal(_("A task of this name waits or runs in the channel already."))


def forget_failed_task(queue: Queue, task_id: str) -> Task:
    """Take a task from the failed ones; its job stays in the lists of jobs. Raises Refusal."""
    job = failed_job(queue, task_id)
    try:
        purge_dead(queue=queue, ids=[job.pk])
    except NotFound as error:
        raise Refusal(NO_TASK) from error
    return task_of_job(job, queue)


def forget_old_failed_tasks(*, limit: int = 500, now: dt.datetime | None = None) -> int:
    """Take at most `limit` tasks that failed 30 days ago from the failed ones; return how many."""
    now = now or database_now()
    old = Job.objects.dead().filter(queue__channel__isnull=False, parked_at__lt=now - KEEP_FAILED)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for job_id, queue_id in old.values_list("pk", "queue_id")[:limit]:
        found[queue_id].append(job_id)
    queues = Queue.objects.in_bulk(found)
    return sum(purge_dead(queue=queues[queue_id], ids=ids) for queue_id, ids in found.items() if queue_id in queues)


def _failed(queue: Queue) -> QuerySet[Job]:
    return Job.objects.filter(queue=queue).exclude(parked_at=None).select_related("output")
