"""Requests that were made before: found by their id, by their idempotency key, or merged with an equal message."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.conf import settings
from django.db.models import F

from notifications.messages.new_message import NewMessage
from notifications.models import Delivery, DeliveryState, Message


class StoredMessages:
    """The messages that earlier requests of a batch have stored, by id and by owner and idempotency key."""

    def __init__(self, requested: Sequence[NewMessage]) -> None:
        self._by_id = Message.objects.in_bulk([one.message_id for one in requested])
        self._by_key: dict[tuple[str, str | None], Message] = {}
        digests = {one.idempotency_digest for one in requested if one.idempotency_key is not None}
        if digests:
            owners = {one.owner_id for one in requested}
            for message in Message.objects.filter(owner_id__in=owners, idempotency_digest__in=digests):
                self.add(message)

    def add(self, message: Message) -> None:
        """Remember a message that was just stored, for the same key later in the batch."""
        if message.idempotency_digest is not None:
            self._by_key[message.owner_id, message.idempotency_digest] = message

    def find(self, requested: NewMessage) -> Message | None:
        """Return the message that the same attempt or the same idempotency key has stored."""
        by_id = self._by_id.get(requested.message_id)
        return by_id or self._by_key.get((requested.owner_id, requested.idempotency_digest))


def find_equal(requested: NewMessage, now: dt.datetime) -> Message | None:
    """Return the newest equal message of the last MERGE_SECONDS, None if this request is not to be merged."""
    if not settings.MERGE_SECONDS or requested.idempotency_key is not None or requested.actions or requested.not_before:
        return None
    equal = Message.objects.filter(
        owner_id=requested.owner_id,
        request_digest=requested.request_digest,
        created_at__gt=now - dt.timedelta(seconds=settings.MERGE_SECONDS),
        withdrawn_at=None,
    )
    return equal.order_by("-id").first()


def count_repeat(message: Message) -> bool:
    """Add one to the count of a message that still waits on every channel; return False if it does not.

    The rows are locked, so that no sender claims one meanwhile. If one channel has the message already, that channel
    needs the repeat as a message of its own.
    """
    rows = Delivery.objects.select_for_update().filter(message=message)
    if {row.state for row in rows} - {DeliveryState.DEAD} != {DeliveryState.PENDING}:
        return False
    Message.objects.filter(pk=message.pk).update(count=F("count") + 1)
    message.count += 1
    return True
