"""Typed, chainable questions. None of them writes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from accounts.querysets import Viewer

if TYPE_CHECKING:
    from notifications.models import Channel, Delivery, Message  # noqa: F401  used in the type arguments below


class ChannelQuerySet(models.QuerySet["Channel"]):
    """Questions about channels."""

    def visible_to(self, viewer: Viewer) -> ChannelQuerySet:
        """The user's own."""
        return self.filter(owner_id=viewer.owner_id)

    def in_order(self) -> ChannelQuerySet:
        """The first is tried first."""
        return self.order_by("position", "id")

    def switched_off(self) -> ChannelQuerySet:
        """Off, and not because the owner wanted it."""
        return self.filter(enabled=False).exclude(off_reason__in=("owner", "unbound"))


class MessageQuerySet(models.QuerySet["Message"]):
    """Questions about messages."""

    def visible_to(self, viewer: Viewer) -> MessageQuerySet:
        """The user's own."""
        return self.filter(owner_id=viewer.owner_id)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Questions about the outbox."""

    def visible_to(self, viewer: Viewer) -> DeliveryQuerySet:
        """The user's own."""
        return self.filter(owner_id=viewer.owner_id)

    def open(self) -> DeliveryQuerySet:
        """Those that have not ended."""
        return self.filter(state__in=("pending", "retry", "in_flight"))

    def claimable(self, now: dt.datetime) -> DeliveryQuerySet:
        """Due, or claimed by somebody who did not come back."""
        return self.filter(
            Q(state__in=("pending", "retry"), due_at__lte=now) | Q(state="in_flight", claimed_until__lte=now)
        )
