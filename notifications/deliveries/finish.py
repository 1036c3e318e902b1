"""Finish an attempt: write its result into the row, if the row still belongs to the attempt."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from kernel.clock import database_now
from kernel.transactions import named_transaction
from notifications.deliveries.claimed import Claimed
from notifications.deliveries.outcome import end_delivery, write_failure, write_refusal
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.models import Channel, Delivery, DeliveryState


def finish_delivery(claimed: Claimed, result: Receipt | ChannelError, *, now: dt.datetime | None = None) -> None:
    """Write the result of an attempt. Does nothing if another process has claimed the row meanwhile."""
    with named_transaction("deliver.finish"):
        now = now or database_now()
        own = Delivery.objects.select_for_update().filter(
            pk=claimed.delivery.pk, tries=claimed.delivery.tries, state=DeliveryState.IN_FLIGHT
        )
        row = own.first()
        if row is None:
            return
        row.claimed_until = None
        if isinstance(result, ChannelError):
            write_failure(row, result, now)
            return
        row.provider_id = result.provider_id[:128]
        end_delivery(row, DeliveryState.SENT, now, fault="", code=result.code)
        if row.channel_id:
            Channel.objects.filter(pk=row.channel_id).update(last_sent_at=now)


def refuse_sent(*, account: str, address: str, provider_id: str, code: str, now: dt.datetime | None = None) -> bool:
    """Treat a sent delivery as refused, because the platform reports later that it did not arrive.

    Returns False for an id that no sent delivery has: one of another sender, or one whose attempt is not finished yet.
    The quota stays used, because WeChat counts such a message.
    """
    with transaction.atomic():
        now = now or database_now()
        # Find the row first and lock it then: a lock over the join takes the channel's row first, which a finish takes
        # last, and the two could deadlock.
        sent = Delivery.objects.filter(channel__account=account, channel__address=address, provider_id=provider_id)
        found = sent.filter(state=DeliveryState.SENT).first() if provider_id else None
        row = found and Delivery.objects.select_for_update().filter(pk=found.pk, state=DeliveryState.SENT).first()
        if row is None:
            return False
        # The report holds for every attempt that carried the id.
        row.unheard = False
        row.fault, row.provider_code = Fault.PERMANENT, code[:64]
        write_refusal(row, ChannelError(Fault.PERMANENT, code[:64]), now)
    return True
