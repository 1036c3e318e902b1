"""The observer that reports moves of jobs to programs: the job's `callback` address, and Redis streams.

Each report is an outbox row in the transaction of the move, so it exists exactly if the move happened. Streams need
LETSERVER_EVENTS.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from urllib.parse import urlsplit

from jobs.api.rendering import told_job_json
from jobs.states import Move
from jobs.transitions import JobMove
from kernel.bells import ring
from kernel.rediskeys import JOB_STREAM
from kernel.strictjson import JsonObject
from notifications.deliveries.events import event_delivery
from notifications.models import Delivery, DeliveryKind

_HOST_CHARACTERS = 186


def tell_callbacks(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Observer of moves to sent, running and the ends: write a callback for each job that has an address."""
    write_deliveries([_callback(one, now) for one in moved if _has_address(one) and _moves(one)])


def tell_streams(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Observer of all moves, where upstream programs listen: write an event for each."""
    write_deliveries([_event(one, now) for one in moved if _moves(one)])


def _has_address(one: JobMove) -> bool:
    return one.job.callback not in ("", "disable")


def _moves(one: JobMove) -> bool:
    """A cancel request does not change the status."""
    return one.move != Move.ASK_CANCEL


def write_deliveries(rows: list[Delivery]) -> None:
    """Insert outbox rows in the transaction of what they tell, and ring for each after it."""
    if rows:
        Delivery.objects.bulk_create(rows)
    for row in rows:
        ring("delivery", row.pk)


def _callback(one: JobMove, now: dt.datetime) -> Delivery:
    job = one.job
    return callback_delivery(
        owner_id=job.owner_id,
        subject=f"job:{job.pk}",
        target=job.callback,
        dedupe_key=f"callback:{job.pk}:{job.events_count}",
        payload=dict(_told(one)),
        now=now,
    )


def callback_delivery(
    *, owner_id: str, subject: str, target: str, dedupe_key: str, payload: dict[str, object], now: dt.datetime
) -> Delivery:
    """Return the outbox row of a signed POST to an address that its owner chose. Addresses of one host share a lane."""
    host = urlsplit(target).hostname or ""
    return Delivery(
        owner_id=owner_id,
        kind=DeliveryKind.CALLBACK,
        subject=subject,
        target=target,
        dedupe_key=dedupe_key,
        payload=payload,
        lane=f"host:{host[-_HOST_CHARACTERS:]}",
        due_at=now,
        created_at=now,
    )


def _event(one: JobMove, now: dt.datetime) -> Delivery:
    job = one.job
    return event_delivery(
        owner_id=job.owner_id,
        subject=f"job:{job.pk}",
        stream=JOB_STREAM,
        key=f"job:{job.pk}:{job.events_count}",
        payload=dict(_told(one)),
        now=now,
    )


def _told(one: JobMove) -> JsonObject:
    return told_job_json(one.job, result=one.output.text if one.output is not None else one.text)
