"""Send a claimed delivery and write its result. Each kind has a registered sender."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from django.conf import settings as server
from django.db import Error, close_old_connections
from django.utils import translation
from django.utils.translation import gettext as _

from kernel.failpoints import reach
from kernel.transactions import LostRace
from notifications.channels.confirming import needs_confirmation
from notifications.channels.settings import settings_of
from notifications.deliveries.claim import claim_next
from notifications.deliveries.claimed import Claimed
from notifications.deliveries.finish import finish_delivery
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.drivers.parcel import Parcel
from notifications.drivers.registry import driver_of
from notifications.messages.actions import action_words
from notifications.messages.links import CONFIRMATION_LIFE, confirmation_url, detail_url
from notifications.models import Channel, Delivery, DeliveryKind

logger = logging.getLogger(__name__)

Sender = Callable[[Claimed], Receipt]

_senders: dict[str, Sender] = {}

_PAUSES_SECONDS = (0.1, 0.5, 2.0, 5.0, 10.0)
"""Pauses between attempts to write a result; the claim is longer than all of them."""


def register_sender(kind: str, sender: Sender) -> None:
    """Register the sender of a kind. It may block for 10 s and raises ChannelError."""
    _senders[kind] = sender


def deliver(rung_id: str) -> None:
    """Send the delivery that was rung, or the oldest due one of its channel; does nothing if none may be sent now."""
    claimed = claim_next(rung_id)
    if claimed is None:
        return
    reach("deliver.before_send")
    outcome = _send(claimed)
    reach("deliver.after_send")
    _write_result(claimed, outcome)


def _write_result(claimed: Claimed, outcome: Receipt | ChannelError) -> None:
    """Write the result, and retry after a database error: an unwritten result would be sent a second time.

    A result that is written twice, because the answer to a COMMIT was lost, counts once.
    """
    for pause in _PAUSES_SECONDS:
        try:
            finish_delivery(claimed, outcome)
        except (Error, LostRace) as error:
            details = {"action": "delivery.unwritten", "id": claimed.delivery.pk, "error": type(error).__name__}
            logger.warning("delivery result not written", extra=details)
            close_old_connections()
            time.sleep(pause)
        else:
            return
    finish_delivery(claimed, outcome)


def _send(claimed: Claimed) -> Receipt | ChannelError:
    try:
        return _senders[claimed.delivery.kind](claimed)
    except ChannelError as error:
        return error
    except Exception as error:
        # The top of a delivery: write our own error into its row and retry. Never log its text.
        logger.error(
            "delivery failed",
            extra={"action": "delivery.error", "id": claimed.delivery.pk, "error": type(error).__name__},
        )
        return ChannelError(Fault.RETRY, type(error).__name__, unheard=True)


def send_message(claimed: Claimed) -> Receipt:
    """Send a message through its channel's driver. Raises ChannelError."""
    delivery, message, channel = claimed.delivery, claimed.message, claimed.channel
    if channel is None:
        raise ChannelError(Fault.PERMANENT, "gone")
    if message is None:
        return _ask_mailbox(delivery, channel)
    if needs_confirmation(channel):
        raise driver_of(channel.driver).refuse("unconfirmed")
    parcel = Parcel(
        delivery_id=delivery.pk,
        title=message.title,
        text=message.text,
        at=message.created_at,
        format=message.format,
        level=message.level,
        colour=message.colour,
        source=message.source,
        url=message.url,
        detail_url=detail_url(message.pk),
        mentions=tuple(message.mentions),
        count=message.count,
        way=delivery.way,
        address=channel.address or "",
    )
    with translation.override(message.owner.language or None):
        actions = tuple((action.number, action_words(action)) for action in message.actions.order_by("number"))
        parcel = replace(parcel, actions=actions)
        return driver_of(channel.driver).send(parcel, settings_of(channel))


def _ask_mailbox(delivery: Delivery, channel: Channel) -> Receipt:
    """Send the mail that asks a mailbox for confirmation. Only the mail holds the link."""
    if not needs_confirmation(channel):
        return Receipt(code="confirmed")
    driver, settings = driver_of(channel.driver), settings_of(channel)
    with translation.override(channel.owner.language or None):
        text = _(
            "The account %(name)s of %(server)s wants to send messages to this mailbox. If that is you, open this page "
            "within %(days)s days and confirm it. If not, do nothing: no other mail will come."
        )
        parcel = Parcel(
            delivery_id=delivery.pk,
            title=_("Do you want messages in this mailbox?"),
            text=text % {"name": channel.owner.username, "server": server.PUBLIC_URL, "days": CONFIRMATION_LIFE.days},
            at=delivery.created_at,
            url=confirmation_url(channel.pk, str(settings[driver.confirmed_by])),
        )
        return driver.send(parcel, settings)


register_sender(DeliveryKind.MESSAGE, send_message)
