"""Workloads that reach the failpoints of queues; see `workloads.py`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from accounts.models import User
from agents.models import Agent
from jobs.life.report import ReportKind
from jobs.life.submit import Submission
from jobs.life.submit_many import submit_many
from jobs.models import Job, Queue, QueueState
from jobs.queues.dead_letters import purge_dead, replay_dead
from jobs.queues.service import QueueSettings, delete_queue, flush_queue, put_queue, set_state
from jobs.states import JobStatus
from kernel.clock import database_now
from kernel.ids import new_id
from tests.factories import claim, make_agent, make_user, order_job, report
from tests.faults.journal import Journal

_WAYS_ON = (JobStatus.FAILED, JobStatus.EXPIRED)


def queue_some(journal: Journal) -> None:
    """Create a queue, fill it, pause it, empty it, remove it."""
    agent, queue = _queue()
    submissions = [_submission(queue, str(number)) for number in range(3)]
    for job in submit_many(submissions):
        assert isinstance(job, Job)
        journal.note("submit", key=None, agent=agent.pk, message=job.message, status=201, id=job.pk)
    for state in (QueueState.PAUSED, QueueState.DRAINING, QueueState.OPEN):
        set_state(queue=queue, state=state)
    flush_queue(queue=queue, actor="test")
    journal.note("flushed", id=queue.pk)
    delete_queue(queue=queue)
    journal.note("no queue", id=queue.pk)


def bury_some(journal: Journal) -> None:
    """Make dead letters; replay one and remove the others."""
    agent, queue = _queue()
    submit_many([_submission(queue, str(number)) for number in range(2)])
    for _ in range(2):
        _fail(agent, journal, database_now())
    first = Job.objects.dead().filter(queue=queue).order_by("pk")[0]
    (attempt,) = replay_dead(queue=queue, ids=[first.pk], actor="test")
    journal.note("replayed", id=attempt.pk)
    _fail(agent, journal, database_now() + dt.timedelta(minutes=1))
    purge_dead(queue=queue, ids=None)
    journal.note("buried", id=queue.pk)


def find_losses(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines that the database does not confirm, and failures without their retry or dead letter."""
    return [f"lost: {line}" for line in lines if not _is_kept(line)] + list(_forgotten())


def _is_kept(line: Mapping[str, Any]) -> bool:
    match line["do"]:
        case "no queue":
            return not Queue.objects.filter(pk=line["id"]).exists()
        case "flushed":
            return not Job.objects.waiting().filter(queue=line["id"]).exists()
        case "replayed":
            return Job.objects.filter(pk=line["id"]).exists()
        case "buried":
            return not Job.objects.dead().filter(queue=line["id"]).exists()
    return True


def _forgotten() -> Iterator[str]:
    """A failure and its retry are one transaction, and so are the last failure and its dead letter."""
    for job in Job.objects.filter(status__in=_WAYS_ON, retries__gt=0):
        after = Job.objects.filter(root_id=job.root_id, attempt=job.attempt + 1)
        if job.parked_at is None and not after.exists():
            yield f"job {job.pk}: failed with {job.retries} retries left, and nothing follows"
        if job.parked_at is not None and after.exists():
            yield f"job {job.pk}: a dead letter that was tried again"


def _queue() -> tuple[Agent, Queue]:
    owner: User = make_user(f"u{new_id()}")
    agent = make_agent(owner=owner, name="worker")
    settings = QueueSettings(agent=agent.pk, width=1)
    queue, _new = put_queue(viewer=owner, name="q", settings=settings)
    return agent, queue


def _submission(queue: Queue, message: str) -> Submission:
    return order_job(queue.owner_id, message, queue=queue.name)


def _fail(agent: Agent, journal: Journal, now: dt.datetime) -> None:
    job = claim(agent, now=now)
    assert job is not None
    journal.note("report", agent=agent.pk, id=job.pk, kind=ReportKind.FAIL, status=None, text="no")
    assert report(agent, job, ReportKind.FAIL, "no", now=now) is None
