"""Prune ended deliveries, old messages and shut addresses, so that the outbox stays small."""

from __future__ import annotations

import datetime as dt

from django.db.models import F

from kernel.clock import database_now
from kernel.ids import lowest_id
from notifications.models import OPEN_STATES, WAITING_STATES, Delivery, DeliveryKind, Message, ShutTarget

KEPT = {
    DeliveryKind.CALLBACK: dt.timedelta(days=30),
    DeliveryKind.EVENT: dt.timedelta(days=1),
    DeliveryKind.MESSAGE: dt.timedelta(days=30),
}
"""Retention of ended deliveries that belong to no message; the others are pruned with their message."""

MESSAGES_KEPT = dt.timedelta(days=90)
SHUT_KEPT = dt.timedelta(days=90)


def forget_old_deliveries(*, limit: int = 500, now: dt.datetime | None = None) -> int:
    """Delete at most `limit` old deliveries of each kind that belong to no message; return the number deleted."""
    now = now or database_now()
    count = 0
    for kind, kept in KEPT.items():
        old = Delivery.objects.filter(kind=kind, message=None, ended_at__lt=now - kept)
        count += Delivery.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:limit])).delete()[0]
    return count


def forget_old_messages(*, limit: int = 500, now: dt.datetime | None = None) -> int:
    """Delete at most `limit` messages older than 90 days with their deliveries and actions; return the number of rows.

    A message with an unfinished delivery is kept.
    """
    now = now or database_now()
    old = Message.objects.filter(pk__lt=lowest_id(now - MESSAGES_KEPT)).order_by("pk")
    ids = list(old.exclude(deliveries__state__in=OPEN_STATES).values_list("pk", flat=True)[:limit])
    return Message.objects.filter(pk__in=ids).delete()[0]


def forget_shut_targets(*, now: dt.datetime | None = None) -> int:
    """Open the addresses that answered 410 ninety days ago; return the number opened."""
    now = now or database_now()
    return ShutTarget.objects.filter(shut_at__lt=now - SHUT_KEPT).delete()[0]


def bring_forward(*, since: dt.datetime, gap: dt.timedelta) -> None:
    """Move what waits by `gap`, which is negative, if it was made after `since`: the clock ran ahead then."""
    made_ahead = Delivery.objects.filter(state__in=WAITING_STATES, created_at__gt=since)
    made_ahead.update(due_at=F("due_at") + gap)
