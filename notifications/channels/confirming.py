"""Mailboxes agree before anything comes: one mail asks, and whoever reads it says yes on the page that it leads to.

Else everybody could let this server write to anybody. The mail is a delivery to the channel without a message.
"""

from __future__ import annotations

import datetime as dt
import math

from django.utils.translation import gettext_lazy as _

from accounts.services.quotas import reserve_quota
from kernel.bells import ring
from kernel.errors import LimitExceeded
from kernel.ids import new_id
from notifications.drivers.base import Rate, Words
from notifications.drivers.registry import driver_of
from notifications.messages.links import mailbox_digest
from notifications.models import Channel, Delivery, DeliveryKind
from notifications.quota.ledger import day_of, take_turn

MAILBOX_RATES = (Rate(number=1, seconds=60), Rate(number=5, seconds=24 * 3600))
"""How often one mailbox is asked, whoever wants it."""

ASKED_A_DAY = 20
"""How many of these mails one person may let go in a day."""

_QUOTA_KIND = "channel.confirmation"


def needs_confirmation(channel: Channel) -> bool:
    """Tell whether nothing but the question may be sent to a channel yet."""
    return bool(driver_of(channel.driver).confirmed_by) and channel.confirmed_at is None


def ask_mailbox(channel: Channel, address: str, *, now: dt.datetime) -> None:
    """Let the mail go that asks, in the caller's transaction. Raises LimitExceeded, and then nothing is counted."""
    ready_at = take_turn(f"confirm:{mailbox_digest(address)}", MAILBOX_RATES, now=now)
    if ready_at is not None:
        raise _too_many(
            _("That mailbox was asked before. It may be asked again in %(seconds)s seconds."), ready_at, now
        )
    start, end = day_of(now)
    if reserve_quota(owner_id=channel.owner_id, kind=_QUOTA_KIND, window_start=start, limit=ASKED_A_DAY) is None:
        raise _too_many(
            _("You may have %(limit)s mailboxes asked a day. You may again in %(seconds)s seconds."), end, now
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


def last_question(channel: Channel) -> Delivery | None:
    """Return the last mail that asked, which tells whether it went; None after a month."""
    asked = Delivery.objects.filter(channel=channel, kind=DeliveryKind.MESSAGE, message=None)
    return asked.order_by("-pk").first()


def _too_many(sentence: Words, ready_at: dt.datetime, now: dt.datetime) -> LimitExceeded:
    seconds = max(1, math.ceil((ready_at - now).total_seconds()))
    params: dict[str, object] = {"limit": ASKED_A_DAY, "seconds": seconds}
    return LimitExceeded(sentence, params=params, retry_after_seconds=seconds)
