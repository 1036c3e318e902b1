"""Withdraw messages: end what waits, and give back what the quota ledger had counted for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from notifications.models import OPEN_STATES, Delivery, DeliveryState, Message
from notifications.quota.ledger import give_back

_REPLACED_LIMIT = 100
"""Each message has replaced those before it, so only the newest under a key can still wait."""


def withdraw(message_ids: Sequence[str], *, now: dt.datetime) -> None:
    """Withdraw messages in the caller's transaction.

    An attempt in flight may still arrive, but it is the last one: finishing it finds `withdrawn_at`.
    """
    unfinished = Delivery.objects.filter(message_id__in=message_ids, state__in=OPEN_STATES)
    rows = list(unfinished.select_for_update().order_by("pk"))
    for row in rows:
        if row.state == DeliveryState.IN_FLIGHT:
            continue
        give_back(row)
        row.state, row.ended_at = DeliveryState.WITHDRAWN, now
        row.save(update_fields=["state", "ended_at", "reserved"])
    Message.objects.filter(pk__in={row.message_id for row in rows}).update(withdrawn_at=now)


def withdraw_key(owner_id: str, key: str, *, now: dt.datetime) -> None:
    """Withdraw the messages that were sent under a key and still wait."""
    earlier = Message.objects.filter(owner_id=owner_id, key=key).order_by("-pk")
    withdraw(list(earlier.values_list("pk", flat=True)[:_REPLACED_LIMIT]), now=now)
