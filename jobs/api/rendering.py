"""Renders the answers of job calls, in the shapes that `schema.py` describes. Times are RFC 3339 in UTC, or null."""

from __future__ import annotations

from jobs.life.log import LogPart
from jobs.life.read import WholeJob
from jobs.models import Job, JobEvent, JobOutput
from jobs.order import JobOrder
from jobs.stream.service import StreamPage
from kernel.clock import rfc3339
from kernel.strictjson import JsonObject
from kernel.text import RESULT_CHARACTERS
from notifications.messages.wire import message_news
from notifications.models import Message


def log_part_json(part: LogPart) -> JsonObject:
    """Render a part of a log."""
    return {
        "offset": part.offset,
        "next": part.next,
        "text": part.text,
        "complete": part.complete,
        "status": str(part.job.status),
        "exit_code": part.exit_code,
    }


def job_json(job: Job, output: JobOutput | None) -> JsonObject:
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


def told_job_json(job: Job, *, result: str) -> JsonObject:
    """Render a job after a move, for callbacks: the original's object, and `seq`, which counts the job's moves.

    `result` is the text that the agent sent with it. A time that has not come is left out. The object holds no token
    and no other user's id.
    """
    told: JsonObject = {
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


def news_json(news: StreamPage) -> JsonObject:
    """Render what happened."""
    return {"items": [_one_news_json(item) for item in news.items], "next": news.cursor.write()}


def _one_news_json(item: JobEvent | Message) -> JsonObject:
    if isinstance(item, Message):
        at, news = rfc3339(item.created_at), message_news(item)
        return {"id": item.pk, "type": "message", "at": at, "job": None, "message": news}
    job: JsonObject = {
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


def whole_job_json(whole: WholeJob) -> JsonObject:
    """Render a job with all of its options, its output and its timeline."""
    return {
        **JobOrder.of(whole.job).options,
        # `wait_until` of a job is also what its ttl comes to.
        **job_json(whole.job, whole.output),
        "output": _output_json(whole.output) if whole.output else None,
        "events": [_event_json(event) for event in whole.events],
    }


def _output_json(output: JobOutput) -> JsonObject:
    return {
        "text": output.text,
        "size_bytes": output.size_bytes,
        "truncated": output.truncated,
        "exit_code": output.exit_code,
        "signal": output.signal,
        "reason": output.reason,
    }


def _event_json(event: JobEvent) -> JsonObject:
    return {
        "number": event.number,
        "at": rfc3339(event.at),
        "move": str(event.move),
        "before": str(event.before) or None,
        "after": str(event.after),
        "actor": event.actor,
        "text": event.text,
    }
