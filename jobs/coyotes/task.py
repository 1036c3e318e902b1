"""A task as clients see it, made from a job or a delayed job.

`task_id` is the client's own name for it, or the id of the job. It is kept in the job's parameters, because later
attempts and the job of a delayed task have other ids; the id of the row follows from it, so that the same word again
makes no second task.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from agents.models import Agent
from jobs.coyotes.words import NO_TASK, Refusal
from jobs.models import DelayedJob, Job, Queue
from jobs.states import WAITING, JobStatus
from kernel.ids import is_id, occurrence_id

TASK_ID, ARGV = "task_id", "argv"
"""The keys under which `Job.params` keeps the client's name for a task, and its words."""

TASK_ID_LENGTH = 255
LISTED_TASKS = 1000
"""Tasks of one list; more are counted and not shown."""

_Row = TypeVar("_Row", Job, DelayedJob)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as the calls report it. `result` is what its agent said last, the reason of a failure; times may be None.

    `status`: queued, running, or empty for one that failed or is not due.
    """

    task_id: str
    name: str
    argv: tuple[str, ...]
    channel: str
    status: str = ""
    execute_at: dt.datetime | None = None
    failures: int = 0
    failed_at: dt.datetime | None = None
    result: str = ""


def task_of_job(job: Job, queue: Queue) -> Task:
    """Describe a job as a task; its output is read where it has one."""
    parked = job.parked_at is not None
    output = getattr(job, "output", None) if parked else None
    status = "" if job.is_terminal else "queued" if job.status in WAITING else "running"
    return Task(
        task_id=task_id_of(job),
        name=job.task or job.message,
        argv=_words(job),
        channel=queue.channel or queue.name,
        status=status,
        # A delayed task has a time. A pushed task runs at once, which the original writes as the zero time.
        execute_at=job.active_at if job.parent_id else None,
        failures=job.attempt if parked else job.attempt - 1,
        failed_at=(job.failed_at or job.expired_at) if parked else None,
        result=_result(job, output.result if output else "") if parked else "",
    )


def task_of_delayed(row: DelayedJob, queue: Queue) -> Task:
    """Describe a delayed job as a task."""
    return Task(
        task_id=task_id_of(row),
        name=row.task or row.message,
        argv=_words(row),
        channel=queue.channel or queue.name,
        execute_at=row.due_at,
    )


def task_id_of(job: Job | DelayedJob) -> str:
    """Return the client's name for a task; the id of its first attempt for a job that came another way."""
    named = (job.params or {}).get(TASK_ID)
    return str(named) if named else job.root_id if isinstance(job, Job) else job.pk


def named_in(jobs: QuerySet[Job], queue: Queue, task_id: str) -> Job:
    """Return the one of `jobs` that a client calls so. Raises Refusal."""
    rows = list(row_ids_of(queue, task_id))
    fired = DelayedJob.objects.filter(pk__in=rows).values_list("job_id", flat=True)
    roots = [*rows, *(job_id for job_id in fired if job_id)]
    return only([job for job in jobs.filter(root_id__in=roots) if task_id_of(job) == task_id], NO_TASK)


def row_id_of(agent: Agent, own_id: str) -> str:
    """Return the id of the row of a task that its client has named. Clients cannot choose the ids of our rows."""
    return occurrence_id(agent.pk, f"coyotes:{own_id}")


def row_ids_of(queue: Queue, task_id: str) -> Iterator[str]:
    """Give the ids that the row of a task can have: its name itself, or what follows from it."""
    if is_id(task_id):
        yield task_id
    yield occurrence_id(queue.agent_id or "", f"coyotes:{task_id}")


def only(rows: Iterable[_Row], words: str) -> _Row:
    """Return the first; raise Refusal in these words where there is none."""
    for row in rows:
        return row
    raise Refusal(words)


def _result(job: Job, said: str) -> str:
    if said or job.status != JobStatus.EXPIRED:
        return said
    return str(_("The agent took the task and sent no report in time."))


def _words(job: Job | DelayedJob) -> tuple[str, ...]:
    argv = (job.params or {}).get(ARGV)
    return tuple(argv) if argv else (job.message,)
