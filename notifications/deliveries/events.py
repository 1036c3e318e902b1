"""Events for upstream programs, on two Redis streams, out of the outbox. LETSERVER_EVENTS=on: each costs a row.

An entry has two fields: `data`, the JSON, and `event_id`, the same at every try, by which a reader drops what it has
seen: an entry can stand there twice. Streams keep about their last 10,000 entries; what matters stands in the database.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, TypedDict

from django_redis import get_redis_connection
from redis.exceptions import RedisError

from kernel.bells import ring
from kernel.clock import rfc3339
from kernel.rediskeys import MESSAGE_STREAM, STREAM_LENGTH
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.models import Delivery, DeliveryKind, Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notifications.deliveries.outbox import Claimed

LANE = "events"


class ToldMessageJson(TypedDict):
    """A message to a person, as programs are told of it."""

    id: str
    user_id: str
    agent_id: str | None
    level: str
    title: str
    text: str
    format: str
    source: str
    color: str
    url: str
    created_at: str | None


def told_message_json(message: Message) -> ToldMessageJson:
    """Render a message for an event."""
    return {
        "id": message.pk,
        "user_id": message.owner_id,
        "agent_id": message.agent_id or None,
        "level": str(message.level),
        "title": message.title,
        "text": message.text,
        "format": str(message.format),
        "source": message.source,
        "color": message.colour,
        "url": message.url,
        "created_at": rfc3339(message.created_at),
    }


def event_delivery(
    *, owner_id: str, subject: str, stream: str, key: str, payload: Mapping[str, object], now: dt.datetime
) -> Delivery:
    """Return the outbox row of an event; `key` makes it exist once."""
    return Delivery(
        owner_id=owner_id,
        kind=DeliveryKind.EVENT,
        subject=subject,
        target=stream,
        dedupe_key=f"event:{key}",
        payload=payload,
        lane=LANE,
        due_at=now,
        created_at=now,
    )


def tell_of_message(message: Message, now: dt.datetime) -> None:
    """Write the event of a message that was accepted, in the transaction of the message."""
    row = event_delivery(
        owner_id=message.owner_id, subject=f"message:{message.pk}", stream=MESSAGE_STREAM,
        key=f"message:{message.pk}", payload=dict(told_message_json(message)), now=now,
    )  # fmt: skip
    row.save(force_insert=True)
    ring("delivery", row.pk)


def send_event(claimed: Claimed) -> Receipt:
    """Add an event to its stream. Raises ChannelError."""
    delivery = claimed.delivery
    fields = {"data": json.dumps(delivery.payload, ensure_ascii=False), "event_id": delivery.pk}
    try:
        entry = get_redis_connection().xadd(delivery.target, fields, maxlen=STREAM_LENGTH, approximate=True)
    except RedisError as error:
        raise ChannelError(Fault.RETRY, type(error).__name__, unheard=True) from None
    return Receipt(provider_id=entry.decode())
