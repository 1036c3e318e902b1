"""Read messages, and withdraw one."""

from __future__ import annotations

from django.db.models import Prefetch

from accounts.querysets import Viewer
from kernel.clock import database_now
from kernel.errors import NotFound
from kernel.keyset import Slice, slice_of
from kernel.transactions import named_transaction
from notifications.messages.withdraw import withdraw
from notifications.models import Delivery, Message, MessageAction
from notifications.querysets import MessageQuerySet


def read_message(*, viewer: Viewer, message_id: str) -> Message:
    """Return a message of the viewer with its deliveries and actions prefetched in order; raise NotFound."""
    found = _with_results(Message.objects.visible_to(viewer)).filter(pk=message_id).first()
    if found is None:
        raise NotFound
    return found


def list_messages(*, viewer: Viewer, level: str = "", before: str = "", after: str = "", size: int) -> Slice[Message]:
    """Return a page of the viewer's messages, newest first, older than the id `before` or newer than `after`."""
    rows = _with_results(Message.objects.visible_to(viewer))
    return slice_of(rows.filter(level=level) if level else rows, before=before, after=after, size=size)


def withdraw_message(*, viewer: Viewer, message_id: str) -> Message:
    """Withdraw what has not been sent of a message, and return the message; raise NotFound."""
    with named_transaction("message.withdraw"):
        read_message(viewer=viewer, message_id=message_id)
        withdraw([message_id], now=database_now())
    return read_message(viewer=viewer, message_id=message_id)


def _with_results(rows: MessageQuerySet) -> MessageQuerySet:
    deliveries = Delivery.objects.select_related("channel").order_by("pk")
    return rows.prefetch_related(
        Prefetch("deliveries", deliveries), Prefetch("actions", MessageAction.objects.order_by("number"))
    )
