"""Tasks come into channels, wait or run there, and are taken back."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db.models import Count

from agents.models import Agent
from jobs.coyotes.channels import DELAYED_CHANNEL, channels_of
from jobs.coyotes.task import (
    LISTED_TASKS,
    TASK_ID,
    Task,
    named_in,
    only,
    row_id_of,
    row_ids_of,
    task_id_of,
    task_of_delayed,
    task_of_job,
)
from jobs.coyotes.words import NO_CHANNEL, NO_DELAYED_TASK, NO_TASK, Refusal
from jobs.delayed.service import DelayedRef, Moment, NewDelayedJob, cancel_delayed, create_delayed
from jobs.life.cancel import cancel_job
from jobs.life.submit import Submission, submit_jobs
from jobs.models import DelayedJob, DelayedState, Job, Queue
from jobs.order import JobOrder
from jobs.states import ACTIVE, WAITING, JobStatus
from kernel.errors import IdempotencyMismatch, JobFinished, NotFound, NotScheduled, QueueDuplicate
from kernel.ids import new_id
from kernel.transactions import run_one

SOURCE = "coyotes"
# Tasks send no chat notices. Clients poll, as with the original.
_TELL_NOBODY = "disable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A checked push of a task. `order` lacks its queue; its `task` is the task's name. `own_id` is the client's id for
    the task, or empty."""

    agent: Agent
    actor: str
    channel: str
    order: JobOrder
    own_id: str = ""
    delay_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The task that answers a push: the new one, or the one that is there already (`is_new` is false)."""

    task_id: str
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """The tasks of a channel that wait or run, at most LISTED_TASKS, and how many there are."""

    tasks: Sequence[Task]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many tasks of an agent were done, and how they ended; how many channels it has."""

    done: int
    succeeded: int
    failed: int
    channels: int


def push_task(push: Push) -> Pushed:
    """Put a task into its channel, or let it come later by the channel `delayed`.

    Raises Refusal where there is no such channel, and what queues refuse.
    """
    channels = channels_of(push.agent)
    if push.channel not in channels:
        raise Refusal(NO_CHANNEL)
    queue = channels[DELAYED_CHANNEL if push.delay_seconds else push.channel]
    row_id = row_id_of(push.agent, push.own_id) if push.own_id else new_id()
    task_id = push.own_id or row_id
    if push.own_id and any(rows.objects.filter(pk=row_id).exists() for rows in (Job, DelayedJob)):
        return Pushed(task_id=task_id, is_new=False)
    order = replace(push.order, queue=queue.name, params={TASK_ID: task_id}, source=SOURCE, callback=_TELL_NOBODY)
    try:
        if push.delay_seconds:
            run_one(create_delayed, _delayed(push, order, row_id))
        else:
            run_one(submit_jobs, _submission(push, order, row_id))
    except IdempotencyMismatch:
        return Pushed(task_id=task_id, is_new=False)
    except QueueDuplicate as error:
        return Pushed(task_id=task_id_of(Job.objects.get(pk=error.job_id)), is_new=False)
    return Pushed(task_id=task_id, is_new=True)


def tasks_of(queue: Queue) -> Tasks:
    """Return what waits in a channel, in the order in which it starts, then what runs."""
    live = Job.objects.filter(queue=queue, status__in=WAITING | ACTIVE)
    waiting = live.filter(status__in=WAITING).order_by("-priority", "active_at", "id")[:LISTED_TASKS]
    running = live.filter(status__in=ACTIVE).order_by("active_at", "id")[:LISTED_TASKS]
    tasks = [task_of_job(job, queue) for rows in (waiting, running) for job in rows][:LISTED_TASKS]
    return Tasks(tasks=tasks, count=len(tasks) if len(tasks) < LISTED_TASKS else live.count())


def cancel_task(queue: Queue, task_id: str, *, actor: str) -> Task:
    """Take a task back that waits, or ask its agent to end one that runs. Raises Refusal for any other."""
    live = Job.objects.filter(queue=queue, status__in=WAITING | ACTIVE)
    job = named_in(live, queue, task_id)
    try:
        canceled = cancel_job(owner_id=queue.owner_id, job_id=job.pk, actor=actor)
    except (NotFound, JobFinished) as error:
        raise Refusal(NO_TASK) from error
    return task_of_job(canceled, queue)


def delayed_tasks(agent: Agent) -> dict[str, Task]:
    """Return the tasks that are not due yet by id, sorted; the next LISTED_TASKS."""
    queue = channels_of(agent)[DELAYED_CHANNEL]
    rows = DelayedJob.objects.filter(queue=queue, state=DelayedState.SCHEDULED).order_by("due_at", "id")[:LISTED_TASKS]
    tasks = [task_of_delayed(row, queue) for row in rows]
    return {task.task_id: task for task in sorted(tasks, key=lambda task: task.task_id)}


def delayed_task(agent: Agent, task_id: str) -> Task:
    """Return a task that is not due yet. Raises Refusal."""
    queue = channels_of(agent)[DELAYED_CHANNEL]
    return task_of_delayed(_delayed_row(agent, queue, task_id), queue)


def cancel_delayed_task(agent: Agent, task_id: str) -> Task:
    """Take back a task that is not due yet. Raises Refusal."""
    queue = channels_of(agent)[DELAYED_CHANNEL]
    row = _delayed_row(agent, queue, task_id)
    try:
        run_one(cancel_delayed, DelayedRef(owner_id=agent.owner_id, delayed_id=row.pk))
    except (NotFound, NotScheduled) as error:
        raise Refusal(NO_DELAYED_TASK) from error
    return task_of_delayed(row, queue)


def count_tasks(agent: Agent) -> Counts:
    """Count an agent's tasks by their outcome. Canceled tasks do not count as done."""
    channels = channels_of(agent)
    ended = Job.objects.filter(queue__in=channels.values()).terminal().values("status").annotate(n=Count("pk"))
    by_status = Counter({row["status"]: row["n"] for row in ended})
    succeeded = by_status[JobStatus.SUCCEEDED]
    failed = by_status[JobStatus.FAILED] + by_status[JobStatus.EXPIRED]
    return Counts(done=succeeded + failed, succeeded=succeeded, failed=failed, channels=len(channels))


def _submission(push: Push, order: JobOrder, row_id: str) -> Submission:
    return Submission(owner_id=push.agent.owner_id, actor=push.actor, order=order, job_id=row_id)


def _delayed(push: Push, order: JobOrder, row_id: str) -> NewDelayedJob:
    return NewDelayedJob(
        owner_id=push.agent.owner_id,
        actor=push.actor,
        order=order,
        moment=Moment(delay=dt.timedelta(seconds=push.delay_seconds)),
        delayed_id=row_id,
    )


def _delayed_row(agent: Agent, queue: Queue, task_id: str) -> DelayedJob:
    rows = DelayedJob.objects.filter(
        owner_id=agent.owner_id, queue=queue, pk__in=list(row_ids_of(queue, task_id)), state=DelayedState.SCHEDULED
    )
    return only([row for row in rows if task_id_of(row) == task_id], NO_DELAYED_TASK)
