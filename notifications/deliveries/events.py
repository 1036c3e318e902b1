"""Events for upstream programs, written to two Redis streams by way of the outbox if LETSERVER_EVENTS is on.

An entry has two fields: `data`, the JSON, and `event_id`, which every attempt repeats, so that a reader can drop an
entry that it has seen. A stream keeps about its last 10,000 entries; the database keeps what they report.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping

from django_redis import get_redis_connection
from redis.exceptions import RedisError

from kernel.bells import ring
from kernel.rediskeys import MESSAGE_STREAM, STREAM_LENGTH
from notifications.deliveries.claimed import Claimed
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.messages.wire import message_news
from notifications.models import Delivery, DeliveryKind, Message

_LANE = "events"


def event_delivery(
    *, owner_id: str, subject: str, stream: str, key: str, payload: Mapping[str, object], now: dt.datetime
) -> Delivery:
    """Return the unsaved outbox row of an event; `key` makes it unique."""
    return Delivery(
        owner_id=owner_id,
        kind=DeliveryKind.EVENT,
        subject=subject,
        target=stream,
        dedupe_key=f"event:{key}",
        payload=payload,
        lane=_LANE,
        due_at=now,
        created_at=now,
    )


def write_message_event(message: Message, now: dt.datetime) -> None:
    """Write the event of an accepted message in the message's transaction."""
    row = event_delivery(
        owner_id=message.owner_id,
        subject=f"message:{message.pk}",
        stream=MESSAGE_STREAM,
        key=f"message:{message.pk}",
        payload=message_news(message),
        now=now,
    )
    row.save(force_insert=True)
    ring("delivery", row.pk)


def send_event(claimed: Claimed) -> Receipt:
    """Add an event to its stream. Raises ChannelError if Redis does not answer."""
    delivery = claimed.delivery
    fields = {"data": json.dumps(delivery.payload, ensure_ascii=False), "event_id": delivery.pk}
    try:
        entry = get_redis_connection().xadd(delivery.target, fields, maxlen=STREAM_LENGTH, approximate=True)
    except RedisError as error:
        raise ChannelError(Fault.RETRY, type(error).__name__, unheard=True) from None
    return Receipt(provider_id=entry.decode())
