"""Reads and renders queues, and what programs say that pull them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts.credentials import Principal, require_fields
from agents.models import NAME_LENGTH
from agents.services.find import LONGEST_CALL
from jobs.api.order import BackoffField, OrderSerializer, read_order
from jobs.life.submit import Submission
from jobs.models import Job, Queue
from jobs.order import RETRIES_LIMIT
from jobs.queues.pull import Ack, Extension
from jobs.queues.service import WIDTH_LIMIT, QueueCounts, QueueSettings
from jobs.transitions import Output
from kernel.clock import rfc3339
from kernel.errors import AppError, InvalidRequest, QueueDuplicate
from kernel.http.bodies import Description, checked_body
from kernel.http.idempotency import read_idempotency_key
from kernel.strictjson import JsonObject, JsonValue
from kernel.text import keep_head_and_tail

BATCH_BODY_LIMIT = 4 * 1024 * 1024
ACK_BODY_LIMIT = 8 * 1024 * 1024
BATCH_LIMIT = 1000
QUERY_LIMIT = 100
LENGTH_LIMIT = 1_000_000
RATE_LIMIT = 1_000_000
LEASE_LIMIT_SECONDS = 86_400
DEFAULT_LEASE_SECONDS = 60


class RateSerializer(Description):
    """At most `limit` starts of one rate key within `seconds`."""

    limit = serializers.IntegerField(source="rate_limit", min_value=1, max_value=RATE_LIMIT)
    seconds = serializers.IntegerField(
        source="rate_seconds", required=False, min_value=1, max_value=LEASE_LIMIT_SECONDS
    )


class QueueSettingsSerializer(Description):
    """All settings of a queue. With neither `agent` nor `tag` its jobs are pulled."""

    agent = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=LONGEST_CALL,
        help_text="Id, name or alias: its jobs run there.",
    )
    tag = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=NAME_LENGTH,
        help_text="Its jobs run on any agent with this tag.",
    )
    width = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=WIDTH_LIMIT,
        help_text="How many at a time; 1 without it.",
    )
    distinct = serializers.BooleanField(
        required=False, allow_null=True, help_text="No job while the same one waits or runs."
    )
    max_length = serializers.IntegerField(
        source="length_limit",
        required=False,
        allow_null=True,
        min_value=1,
        max_value=LENGTH_LIMIT,
        help_text="The most jobs that may wait.",
    )
    rate = RateSerializer(required=False, allow_null=True)
    retry = serializers.IntegerField(
        source="retries", required=False, allow_null=True, min_value=0, max_value=RETRIES_LIMIT
    )
    backoff = BackoffField(required=False, allow_null=True)


class QueueJobSerializer(OrderSerializer):
    """A job for the queue of the path."""

    agent = queue = None  # type: ignore[assignment]  # takes the fields away
    key = serializers.CharField(required=False, allow_null=True, help_text="Its idempotency key: 1 to 255 characters.")

    refused = dict.fromkeys(("agent", "queue"), _("The path names the queue: do not send %(field)s."))


class WhichSerializer(Description):
    """A choice of dead letters."""

    ids = serializers.ListField(
        child=serializers.CharField(), required=False, allow_null=True, min_length=1, max_length=BATCH_LIMIT
    )
    all = serializers.BooleanField(required=False, allow_null=True)


class AckSerializer(Description):
    """The end of a job."""

    ok = serializers.BooleanField()
    offer = serializers.IntegerField(min_value=1, max_value=2**31, help_text="The one that came with the job.")
    result = serializers.CharField(required=False, allow_blank=True, allow_null=True)


class ExtendSerializer(Description):
    """How long the program needs from now on."""

    seconds = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=LEASE_LIMIT_SECONDS)
    offer = serializers.IntegerField(min_value=1, max_value=2**31, help_text="The one that came with the job.")


def read_queue(data: JsonObject) -> QueueSettings:
    """Read the body of PUT /queues/{name}: all of its settings; what is missing is as of a new queue."""
    values = checked_body(QueueSettingsSerializer, data)
    rate = values.pop("rate", None) or {}
    return QueueSettings(**{name: value for name, value in (values | rate).items() if value is not None})


def read_queue_job(data: JsonObject, *, queue: Queue, principal: Principal, header: str | None = None) -> Submission:
    """Read one job for a queue; its idempotency key is `key`, or the header of the call."""
    require_fields(principal, data)
    values = checked_body(QueueJobSerializer, data)
    key = values.pop("key", None)
    return Submission(
        owner_id=principal.owner_id,
        actor=principal.actor,
        order=read_order(values, queue=queue.name, source="api"),
        idempotency_key=read_idempotency_key(header if key is None else key),
    )


def read_batch(value: JsonValue) -> Sequence[JsonValue]:
    """Read a list of 1 to 1,000 jobs."""
    if not isinstance(value, list) or not 0 < len(value) <= BATCH_LIMIT:
        raise InvalidRequest(_("Send one job, or a list of 1 to %(limit)s."), params={"limit": BATCH_LIMIT})
    return value


def read_queue_jobs(items: Sequence[JsonValue], *, queue: Queue, principal: Principal) -> list[Submission | AppError]:
    """Read each job of a batch, or say what is wrong with it."""
    read: list[Submission | AppError] = []
    for item in items:
        try:
            if not isinstance(item, dict):
                raise InvalidRequest(_("A job is an object."))
            read.append(read_queue_job(item, queue=queue, principal=principal))
        except AppError as error:
            read.append(error)
    return read


def read_dead(data: JsonObject) -> Sequence[str] | None:
    """Read which dead letters: `ids`, or `all` of them (None)."""
    values = checked_body(WhichSerializer, data)
    ids: list[str] | None = values.get("ids")
    if (ids is None) == (not values.get("all")):
        raise InvalidRequest(_("Send ids or all: true."))
    return ids


def read_dead_query(ids: str | None, every: str | None) -> Sequence[str] | None:
    """Read the same out of a query: `?ids=` with commas, or `?all=1`."""
    if every not in (None, "0", "1") or (ids is None) == (every != "1"):
        raise InvalidRequest(_("Send ids or all=1."))
    if ids is None:
        return None
    found = ids.split(",")
    if len(found) > QUERY_LIMIT:
        raise InvalidRequest(_("ids is a list of 1 to %(limit)s ids."), params={"limit": QUERY_LIMIT})
    return found


def read_lease(values: Sequence[str]) -> dt.timedelta:
    """Read `?lease=`: 1 second to a day, 60 s without it."""
    if not values:
        return dt.timedelta(seconds=DEFAULT_LEASE_SECONDS)
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,5}", values[0]) or not 0 < int(values[0]) <= LEASE_LIMIT_SECONDS:
        raise InvalidRequest(
            _("%(field)s must be a whole number from %(low)s to %(high)s."),
            params={"field": "lease", "low": 1, "high": LEASE_LIMIT_SECONDS},
        )
    return dt.timedelta(seconds=int(values[0]))


def read_ack(data: JsonObject, *, queue: Queue, job_id: str, principal: Principal) -> Ack:
    """Read the body of POST .../ack."""
    values = checked_body(AckSerializer, data)
    kept = keep_head_and_tail(values.get("result") or "")
    return Ack(
        owner_id=principal.owner_id,
        queue_id=queue.pk,
        job_id=job_id,
        offer=values["offer"],
        ok=values["ok"],
        output=Output(text=kept.text, truncated=kept.truncated, size_bytes=kept.size_bytes),
        actor=principal.actor,
    )


def read_extension(data: JsonObject, *, queue: Queue, job_id: str) -> Extension:
    """Read the body of POST .../extend."""
    values = checked_body(ExtendSerializer, data)
    lease = dt.timedelta(seconds=values.get("seconds") or DEFAULT_LEASE_SECONDS)
    return Extension(queue_id=queue.pk, job_id=job_id, offer=values["offer"], lease=lease)


def queue_json(queue: Queue, counts: QueueCounts) -> JsonObject:
    """Render a queue; its agent must be loaded."""
    rate: JsonObject | None = None
    if queue.rate_limit is not None:
        rate = {"limit": queue.rate_limit, "seconds": queue.rate_seconds}
    return {
        "id": queue.pk,
        "name": queue.name,
        "agent_id": queue.agent_id,
        "agent": queue.agent.name if queue.agent else None,
        "tag": queue.tag or None,
        "state": str(queue.state),
        "width": queue.width,
        "distinct": queue.distinct,
        "max_length": queue.length_limit,
        "rate": rate,
        "retry": queue.retries,
        "backoff": queue.backoff,
        "waiting": counts.waiting,
        "active": counts.active,
        "dead": counts.dead,
        "oldest_at": rfc3339(counts.oldest_at),
        "finished_last_minute": counts.finished_last_minute,
        "created_at": rfc3339(queue.created_at),
        "updated_at": rfc3339(queue.updated_at),
    }


def outcome_json(outcome: Job | AppError) -> JsonObject:
    """Render the outcome of one job of a batch."""
    if isinstance(outcome, Job):
        return {"status": 201, "id": outcome.pk}
    refused: JsonObject = {"status": outcome.status, "error": outcome.code, "message": outcome.message}
    if isinstance(outcome, QueueDuplicate):
        refused["job_id"] = outcome.job_id
    return refused


def pulled_json(job: Job) -> JsonObject:
    """Render a job for the program that pulled it."""
    params: Mapping[str, JsonValue] = job.params or {}
    return {
        "id": job.pk,
        "message": job.message,
        "task": job.task,
        "params": dict(params),
        "attempt": job.attempt,
        "offer": job.offer,
        "lease_until": rfc3339(job.lease_until),
    }
