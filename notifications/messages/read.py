"""Look at messages, and take one back."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Prefetch

from accounts.querysets import Viewer
from kernel.clock import database_now
from kernel.errors import NotFound
from kernel.keyset import Slice, slice_of
from kernel.transactions import whole
from notifications.messages.accept import withdraw
from notifications.models import Delivery, DeliveryState, Message
from notifications.querysets import MessageQuerySet


def read_message(*, viewer: Viewer, message_id: str) -> Message:
    """Return a message of the viewer with deliveries and actions; raise NotFound."""
    found = _whole(Message.objects.visible_to(viewer)).filter(pk=message_id).first()
    if found is None:
        raise NotFound
    return found


def list_messages(*, viewer: Viewer, level: str = "", before: str = "", after: str = "", size: int) -> Slice[Message]:
    """Return a page of the viewer's messages, newest first, older than the id `before` or newer than `after`."""
    rows = _whole(Message.objects.visible_to(viewer))
    return slice_of(rows.filter(level=level) if level else rows, before=before, after=after, size=size)


def state_of(deliveries: Sequence[Delivery]) -> str:
    """Return how a message stands: by what is furthest from its end; one that was handed on does not count."""
    states = {delivery.state for delivery in deliveries}
    order = (DeliveryState.IN_FLIGHT, DeliveryState.RETRY, DeliveryState.PENDING, DeliveryState.SENT)
    return next((str(one) for one in order if one in states), str(next(iter(states), "stored")))


def withdraw_message(*, viewer: Viewer, message_id: str) -> Message:
    """Take back what has not been sent of a message, and return it as it is now; raise NotFound."""
    with whole("message.withdraw"):
        read_message(viewer=viewer, message_id=message_id)
        withdraw([message_id], now=database_now())
    return read_message(viewer=viewer, message_id=message_id)


def _whole(rows: MessageQuerySet) -> MessageQuerySet:
    return rows.prefetch_related(Prefetch("deliveries", Delivery.objects.select_related("channel")), "actions")
