"""What becomes of a try: tried again, kept for later, handed to the next channel, given up, taken back.

The caller has locked the row, and every way out of here saves it.
"""

from __future__ import annotations

import datetime as dt
import random

from django.conf import settings
from django.db.models import QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from kernel.bells import ring
from notifications.deliveries.callback_targets import shut_target, tell_given_up
from notifications.drivers.base import ChannelError, Fault
from notifications.messages.accept import NewMessage, accept_messages, fallback_step, is_crowded, message_delivery
from notifications.models import Channel, Delivery, DeliveryKind, DeliveryState, Level, Way
from notifications.quota.ledger import TEXTS_USED_UP, WINDOW, WINDOW_SHUT, give_back, learn_refusal

_HOUR = 3600
DELAYS: dict[str, tuple[float, ...]] = {
    DeliveryKind.MESSAGE: (5, 30, 120, 600, 1800, 2 * _HOUR, 6 * _HOUR, 15 * _HOUR),
    # The table of Standard Webhooks: 75.6 hours in all.
    DeliveryKind.CALLBACK: (5, 300, 1800, *(hours * _HOUR for hours in (2, 5, 10, 14, 20, 24))),
    DeliveryKind.EVENT: (1, 2, 5, 10, 30, 60, 300, 1800),
}
"""Seconds until the next try, by how many there were."""
_JITTER = 0.1
_LONGEST_RETRY_AFTER = 24 * _HOUR
_QUOTA_PAUSE_SECONDS = 65.0
_SAME_FOR = dt.timedelta(minutes=10)
"""So long WeChat takes a template message with an id that it knows for the same one."""


def fail(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    """A try has failed, or nobody knows whether it has."""
    if error.unheard:
        keep_counted(row)
    row.fault, row.provider_code = error.kind, error.code
    if error.kind is Fault.RETRY:
        _try_again(row, error, now)
        return
    # A definite refusal: what was counted was not used.
    give_back(row)
    if row.channel is not None:
        if row.way == Way.TEXT and error.code in (WINDOW_SHUT, TEXTS_USED_UP):
            learn_refusal(row.channel, window_is_shut=error.code == WINDOW_SHUT, now=now)
        if error.kind is Fault.AUTH:
            switch_off(row.channel, reason=error.code, now=now)
    if row.kind == DeliveryKind.CALLBACK and error.kind is Fault.AUTH:
        shut_target(row, now)
    refuse(row, error, now)


def refuse(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    """The service has certainly not taken this try: the next channel, later, or never.

    Not the next channel where an earlier try was not answered: the service may have said that one. A try whose sender
    died does not count for this: then saying it twice is better than not at all.
    """
    if take_back(row, now):
        return
    if not (row.unheard and not row.lost_tries) and _hand_on(row, now):
        return
    until = _worth_waiting(row, error, now)
    if until is None:
        end(row, DeliveryState.DEAD, now, fault=error.kind, code=error.code)
        return
    row.fault, row.provider_code = error.kind, error.code
    postpone(row, until)


def take_back(row: Delivery, now: dt.datetime) -> bool:
    """End a delivery whose message was taken back, or replaced, while it was on its way; tell whether it was."""
    if row.message is None or row.message.withdrawn_at is None:
        return False
    give_back(row)
    end(row, DeliveryState.WITHDRAWN, now, fault=row.fault, code=row.provider_code)
    return True


def keep_counted(row: Delivery) -> None:
    """Nobody heard how a try ended: a text may have used its place, and the next try counts for itself.

    A template carries its id: for ten minutes WeChat takes it for the same one, and counts it once.
    """
    row.unheard = True
    if row.way == Way.TEXT:
        row.reserved = ""


def postpone(row: Delivery, due_at: dt.datetime) -> None:
    """Let it wait until then."""
    row.state = DeliveryState.RETRY if row.tries else DeliveryState.PENDING
    row.due_at = due_at
    row.claimed_until = None
    row.save()


def end(row: Delivery, state: DeliveryState, now: dt.datetime, *, fault: str, code: str) -> None:
    """Let it be over. The owner of a callback that is given up hears of it."""
    row.state, row.fault, row.provider_code = state, fault, code[:64]
    row.ended_at = now
    row.claimed_until = None
    row.save()
    if row.kind == DeliveryKind.CALLBACK and state == DeliveryState.DEAD:
        tell_given_up(row, now)


def switch_off(channel: Channel, *, reason: str, now: dt.datetime) -> None:
    """Stop using a channel that its service refuses, and tell its owner on another one."""
    on: QuerySet[Channel] = Channel.objects.filter(pk=channel.pk, enabled=True)
    if not on.update(enabled=False, off_reason=reason[:64], off_at=now, changed_at=now):
        return
    channel.enabled = False
    with translation.override(channel.owner.language or settings.LANGUAGE_CODE):
        text = _("The channel %(name)s is switched off: its service refuses it (%(reason)s). Mend it and switch it on.")
    notice = NewMessage(
        owner_id=channel.owner_id,
        text=text % {"name": channel.name, "reason": reason},
        level=Level.WARNING,
        source="LetServer",
        without=frozenset({channel.pk}),
    )
    accept_messages([notice], now=now)


def _try_again(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    if take_back(row, now):
        return
    delays = DELAYS[row.kind]
    if row.tries > len(delays):
        # Perhaps the service has it after all: then no other channel may say it a second time.
        if row.unheard or not _hand_on(row, now):
            end(row, DeliveryState.DEAD, now, fault=error.kind, code=error.code)
        return
    seconds = delays[row.tries - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, keeps no secret
    asked = min(error.retry_after_seconds or 0.0, _LONGEST_RETRY_AFTER)
    row.state = DeliveryState.RETRY
    row.due_at = now + dt.timedelta(seconds=max(seconds, asked))
    if row.unheard and row.due_at - row.created_at > _SAME_FOR:
        # By then WeChat has forgotten the template's id: the next try counts for itself.
        row.reserved = ""
    row.save()


def _worth_waiting(row: Delivery, error: ChannelError, now: dt.datetime) -> dt.datetime | None:
    """Return until when a delivery waits that has nowhere else to go; None: it does not.

    A text waits for the person's word, which rings it (`open_credit`), for as long as that word would have lasted.
    """
    if error.kind is Fault.QUOTA and row.tries <= len(DELAYS[row.kind]):
        seconds = error.retry_after_seconds or _QUOTA_PAUSE_SECONDS
        return now + dt.timedelta(seconds=min(seconds, _LONGEST_RETRY_AFTER))
    if error.kind is Fault.WINDOW and row.message is not None and row.channel is not None:
        until = (row.message.not_before or row.created_at) + WINDOW
        return until if until > now and not is_crowded(row.channel, row.way) else None
    return None


def _hand_on(row: Delivery, now: dt.datetime) -> bool:
    """Let the next channel of the chain take over, not before the message's time; tell whether there is one."""
    if row.message is None or not row.fallback:
        return False
    own = Channel.objects.filter(owner_id=row.owner_id)
    channels = own.in_bulk([channel_id for channel_id, _way in row.fallback])
    found = fallback_step(row, channels)
    if found is None:
        return False
    step, rest = found
    due_at = max(now, row.message.not_before or now)
    following = message_delivery(row.message, step, rest, reserved="", due_at=due_at, now=now)
    # Two targets may share a fallback: it gets the message once.
    following, made = Delivery.objects.get_or_create(
        dedupe_key=following.dedupe_key,
        defaults={
            field.attname: getattr(following, field.attname)
            for field in Delivery._meta.concrete_fields
            if field.attname != "dedupe_key"
        },
    )
    end(row, DeliveryState.DEAD, now, fault=row.fault or Fault.PERMANENT, code=row.provider_code or "handed on")
    if made and due_at <= now:
        ring("delivery", following.pk)
    return True
