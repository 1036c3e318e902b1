"""Renders what job calls give, as dictionaries whose shape their types say. Times are RFC 3339 in UTC, or null."""

from __future__ import annotations

from typing import TypedDict

from jobs.life.log import LogPart
from jobs.life.read import WholeJob
from jobs.models import Job, JobEvent, JobOutput
from jobs.order import JobOrder, OptionsJson
from jobs.stream.service import StreamPage
from kernel.clock import rfc3339
from kernel.text import RESULT_CHARACTERS
from notifications.messages.wire import message_news
from notifications.models import Message


class LogPartJson(TypedDict):
    """A part of a job's log; `next` is the offset to ask for next."""

    offset: int
    next: int
    text: str
    complete: bool
    status: str
    exit_code: int | None


class OutputJson(TypedDict):
    """The output of a job."""

    text: str
    size_bytes: int
    truncated: bool
    exit_code: int | None
    signal: int | None
    reason: str


class EventJson(TypedDict):
    """One line of a job's timeline."""

    number: int
    at: str | None
    move: str
    before: str | None
    after: str
    actor: str
    text: str


class _JobStateJson(TypedDict):
    """The state of a job."""

    id: str
    user_id: str
    agent_id: str | None
    agent: str | None
    queue: str | None
    status: str
    result: str
    late: bool
    attempt: int
    retries: int
    root_id: str
    parent_id: str | None
    created_at: str | None
    active_at: str | None
    cancel_requested_at: str | None
    sent_at: str | None
    running_at: str | None
    succeeded_at: str | None
    failed_at: str | None
    expired_at: str | None
    canceled_at: str | None
    parked_at: str | None


class JobJson(_JobStateJson):
    """A job as its owner gets it in lists. Times are RFC 3339 in UTC or null."""

    message: str
    task: str
    source: str
    callback: str
    priority: int
    wait_until: str | None


class ToldJobJson(TypedDict, total=False):
    """A job in callbacks and events, after one move: the original's object, and `seq`, which counts the job's moves.

    A time that has not come is left out. It holds no token and no other user's id.
    """

    id: str
    user_id: str
    agent_id: str | None
    message: str
    source: str
    callback: str
    status: str
    result: str
    seq: int
    created_at: str
    sent_at: str
    canceled_at: str
    expired_at: str
    succeeded_at: str
    failed_at: str


class JobNewsJson(TypedDict):
    """A move of a job, as the stream tells it. `seq` counts the job's moves."""

    id: str
    agent_id: str | None
    message: str
    source: str
    status: str
    move: str
    seq: int
    text: str


class NewsJson(TypedDict):
    """One thing that happened: to a job, or a message."""

    id: str
    type: str
    at: str | None
    job: JobNewsJson | None
    message: dict[str, str | None] | None


class NewsPageJson(TypedDict):
    """A page of news, oldest first; `next` is the cursor to ask with next."""

    items: list[NewsJson]
    next: str


class WholeJobJson(_JobStateJson, OptionsJson):
    """A job with all of its options, its output and its timeline."""

    output: OutputJson | None
    events: list[EventJson]


class JobPageJson(TypedDict):
    """A page of jobs, newest first; `next` is the cursor of the following page."""

    items: list[JobJson]
    next: str | None


def log_part_json(part: LogPart) -> LogPartJson:
    """Render a part of a log."""
    return {
        "offset": part.offset,
        "next": part.next,
        "text": part.text,
        "complete": part.complete,
        "status": str(part.job.status),
        "exit_code": part.exit_code,
    }


def job_json(job: Job, output: JobOutput | None) -> JobJson:
    """Render a job for its owner. `job.agent` and `job.queue` must be loaded."""
    return {
        "id": job.pk,
        "user_id": job.owner_id,
        "agent_id": job.agent_id,
        "agent": job.agent.name if job.agent else None,
        "queue": job.queue.name if job.queue else None,
        "message": job.message,
        "task": job.task,
        "source": job.source,
        "callback": job.callback,
        "status": str(job.status),
        "result": output.result if output else "",
        "late": job.late,
        "priority": job.priority,
        "attempt": job.attempt,
        "retries": job.retries,
        "root_id": job.root_id,
        "parent_id": job.parent_id,
        "created_at": rfc3339(job.created_at),
        "active_at": rfc3339(job.active_at),
        "wait_until": rfc3339(job.expires_at),
        "cancel_requested_at": rfc3339(job.cancel_requested_at),
        "sent_at": rfc3339(job.sent_at),
        "running_at": rfc3339(job.running_at),
        "succeeded_at": rfc3339(job.succeeded_at),
        "failed_at": rfc3339(job.failed_at),
        "expired_at": rfc3339(job.expired_at),
        "canceled_at": rfc3339(job.canceled_at),
        "parked_at": rfc3339(job.parked_at),
    }


def told_job_json(job: Job, *, result: str) -> ToldJobJson:
    """Render a job that has just moved; `result` is what its agent said with it."""
    told: ToldJobJson = {
        "id": job.pk,
        "user_id": job.owner_id,
        "agent_id": job.agent_id,
        "message": job.message,
        "source": job.source,
        "callback": job.callback,
        "status": str(job.status),
        "result": result[:RESULT_CHARACTERS],
        "seq": job.events_count,
    }
    for name in ("created_at", "sent_at", "canceled_at", "expired_at", "succeeded_at", "failed_at"):
        if moment := rfc3339(getattr(job, name)):
            told[name] = moment
    return told


def news_json(news: StreamPage) -> NewsPageJson:
    """Render what happened."""
    return {"items": [_one_news_json(item) for item in news.items], "next": news.cursor.write()}


def _one_news_json(item: JobEvent | Message) -> NewsJson:
    if isinstance(item, Message):
        at, news = rfc3339(item.created_at), message_news(item)
        return {"id": item.pk, "type": "message", "at": at, "job": None, "message": news}
    job: JobNewsJson = {
        "id": item.job_id,
        "agent_id": item.job.agent_id,
        "message": item.job.message,
        "source": item.job.source,
        "status": str(item.after),
        "move": str(item.move),
        "seq": item.number,
        "text": item.text,
    }
    return {"id": item.pk, "type": "job:status", "at": rfc3339(item.at), "job": job, "message": None}


def whole_job_json(whole: WholeJob) -> WholeJobJson:
    """Render a job with all of its options, its output and its timeline."""
    return {
        **JobOrder.of(whole.job).options,
        # `wait_until` of a job is also what its ttl comes to.
        **job_json(whole.job, whole.output),
        "output": _output_json(whole.output) if whole.output else None,
        "events": [_event_json(event) for event in whole.events],
    }


def _output_json(output: JobOutput) -> OutputJson:
    return {
        "text": output.text,
        "size_bytes": output.size_bytes,
        "truncated": output.truncated,
        "exit_code": output.exit_code,
        "signal": output.signal,
        "reason": output.reason,
    }


def _event_json(event: JobEvent) -> EventJson:
    return {
        "number": event.number,
        "at": rfc3339(event.at),
        "move": str(event.move),
        "before": str(event.before) or None,
        "after": str(event.after),
        "actor": event.actor,
        "text": event.text,
    }
