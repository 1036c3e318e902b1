"""Confirm mailboxes: one mail asks, and its reader agrees on the page behind the link before messages are sent there.

Without the confirmation any user could make this server write to any mailbox. The mail is a delivery to the channel
without a message.
"""

from __future__ import annotations

import datetime as dt
import hmac
import math

from django.utils.translation import gettext_lazy as _

from accounts.services.audit import record_audit
from accounts.services.quotas import reserve_quota
from kernel.bells import ring
from kernel.clock import database_now
from kernel.errors import InvalidRequest, LimitExceeded, NotFound
from kernel.ids import new_id
from kernel.transactions import named_transaction
from notifications.channels.settings import mailbox_of
from notifications.drivers.base import Rate, Words
from notifications.drivers.registry import driver_of
from notifications.messages.links import confirmation_of, mailbox_digest
from notifications.models import Channel, Delivery, DeliveryKind
from notifications.quota.ledger import day_of
from notifications.quota.pace import take_turn

MAILBOX_RATES = (Rate(number=1, seconds=60), Rate(number=5, seconds=24 * 3600))
"""How often one mailbox is asked, for all users together."""

ASKED_A_DAY = 20
"""How many of these mails one user may have sent in a day."""

_QUOTA_KIND = "channel.confirmation"


def needs_confirmation(channel: Channel) -> bool:
    """Tell whether a channel waits for its mailbox to be confirmed: only the mail that asks may be sent there."""
    return bool(driver_of(channel.driver).confirmed_by) and channel.confirmed_at is None


def ask_mailbox(channel: Channel, *, now: dt.datetime) -> None:
    """Enqueue the mail that asks, in the caller's transaction. Raises LimitExceeded without counting the mail."""
    ready_at = take_turn(f"confirm:{mailbox_digest(mailbox_of(channel))}", MAILBOX_RATES, now=now)
    if ready_at is not None:
        raise _too_many(
            _("A confirmation mail was sent to that mailbox already. Try again in %(seconds)s seconds."), ready_at, now
        )
    start, end = day_of(now)
    if reserve_quota(owner_id=channel.owner_id, kind=_QUOTA_KIND, window_start=start, limit=ASKED_A_DAY) is None:
        raise _too_many(
            _("You can have %(limit)s confirmation mails sent a day. Try again in %(seconds)s seconds."), end, now
        )
    row = Delivery(
        owner_id=channel.owner_id,
        kind=DeliveryKind.MESSAGE,
        subject=f"channel:{channel.pk}",
        target=f"channel:{channel.pk}",
        dedupe_key=f"confirm:{channel.pk}:{new_id()}",
        channel=channel,
        payload={},
        lane=f"channel:{channel.pk}",
        due_at=now,
        created_at=now,
    )
    row.save(force_insert=True)
    ring("delivery", row.pk)


def ask_again(*, channel: Channel) -> None:
    """Enqueue the mail that asks again; does nothing if the channel needs no confirmation.

    Raises LimitExceeded, and InvalidRequest for a channel that is off.
    """
    with named_transaction("channel.ask"):
        now = database_now()
        channel = Channel.objects.select_for_update().get(pk=channel.pk)
        if not needs_confirmation(channel):
            return
        if not channel.enabled:
            raise InvalidRequest(_("The channel is switched off. Switch it on first."))
        ask_mailbox(channel, now=now)


def channel_to_confirm(token: str) -> Channel:
    """Return the channel behind a link; raise NotFound if the link is forged or old, or the address has changed."""
    channel_id, digest = confirmation_of(token)
    channel = Channel.objects.select_related("owner").filter(pk=channel_id).first()
    if channel is None or not hmac.compare_digest(mailbox_digest(mailbox_of(channel)), digest):
        raise NotFound
    return channel


def confirm_channel(token: str) -> Channel:
    """Confirm the channel behind a link and return it; idempotent. Raises NotFound as `channel_to_confirm` does."""
    with named_transaction("channel.confirm"):
        now = database_now()
        # Lock first: the owner may be entering another address.
        list(Channel.objects.select_for_update().filter(pk=confirmation_of(token)[0]))
        channel = channel_to_confirm(token)
        if channel.confirmed_at is None:
            channel.confirmed_at = channel.changed_at = now
            channel.save(update_fields=["confirmed_at", "changed_at"])
            record_audit(
                actor="mailbox",
                action="channel.confirm",
                subject=f"user:{channel.owner_id}",
                now=now,
                details={"id": channel.pk, "driver": channel.driver},
            )
    return channel


def last_confirmation_mail(channel: Channel) -> Delivery | None:
    """Return the delivery of the last mail that asked; None after a month, when it is pruned."""
    asked = Delivery.objects.filter(channel=channel, kind=DeliveryKind.MESSAGE, message=None)
    return asked.order_by("-pk").first()


def _too_many(sentence: Words, ready_at: dt.datetime, now: dt.datetime) -> LimitExceeded:
    seconds = max(1, math.ceil((ready_at - now).total_seconds()))
    params: dict[str, object] = {"limit": ASKED_A_DAY, "seconds": seconds}
    return LimitExceeded(sentence, params=params, retry_after_seconds=seconds)
