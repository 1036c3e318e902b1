"""Typed, chainable queries. None of them writes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from accounts.querysets import Viewer

if TYPE_CHECKING:
    from notifications.models import Channel, Delivery, Message  # noqa: F401  used in the type arguments below


class ChannelQuerySet(models.QuerySet["Channel"]):
    """Queries of channels."""

    def visible_to(self, viewer: Viewer) -> ChannelQuerySet:
        """Rows that the viewer owns."""
        return self.filter(owner_id=viewer.owner_id)

    def in_order(self) -> ChannelQuerySet:
        """Channels in the order in which they are tried."""
        return self.order_by("position", "id")

    def switched_off(self) -> ChannelQuerySet:
        """Channels that were switched off, but not by their owner."""
        return self.filter(enabled=False).exclude(off_reason__in=("owner", "unbound"))


class MessageQuerySet(models.QuerySet["Message"]):
    """Queries of messages."""

    def visible_to(self, viewer: Viewer) -> MessageQuerySet:
        """Rows that the viewer owns."""
        return self.filter(owner_id=viewer.owner_id)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Queries of the outbox."""

    def visible_to(self, viewer: Viewer) -> DeliveryQuerySet:
        """Rows that the viewer owns."""
        return self.filter(owner_id=viewer.owner_id)

    def open(self) -> DeliveryQuerySet:
        """Unfinished deliveries."""
        return self.filter(state__in=("pending", "retry", "in_flight"))

    def claimable(self, now: dt.datetime) -> DeliveryQuerySet:
        """Deliveries that are due, or whose claim has run out."""
        return self.filter(
            Q(state__in=("pending", "retry"), due_at__lte=now) | Q(state="in_flight", claimed_until__lte=now)
        )
