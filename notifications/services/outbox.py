"""The life of a delivery: claimed by one sender, finished by it, tried again, handed to the next channel, given up.

Nothing is sent inside a transaction. A row is claimed first (its try is counted before the work), then sent, then
finished, and only by the try that claimed it: a sender that comes back late changes nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections import defaultdict
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from kernel.bells import ring
from kernel.clock import database_now
from kernel.transactions import whole
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.drivers.registry import driver_of
from notifications.models import Channel, Delivery, DeliveryKind, DeliveryState, Level, Message, Way
from notifications.services.accept import Wish, accept_messages, after_quiet, fallback_step, message_delivery, step_key
from notifications.services.channels import settings_of
from notifications.services.ledger import (
    TEXTS_USED_UP,
    WINDOW_SHUT,
    Exhausted,
    counts,
    give_back,
    is_of_another_day,
    learn_refusal,
    reserve,
    take_turn,
)
from notifications.services.targets import SHUT, is_shut, open_target, shut_target, tell_given_up

logger = logging.getLogger(__name__)

CLAIM = dt.timedelta(seconds=60)
LOST_TRIES_LIMIT = 5
"""A row that its senders did not survive so often is parked."""

SWEEP_LIMIT = 500
_LANE_SHARE = 50
"""So many of one lane a sweep takes before it looks at the others: who hangs must not keep the sweep to himself."""

_LOST_AFTER = dt.timedelta(seconds=2)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that this process alone sends now, with everything that sending needs."""

    delivery: Delivery
    message: Message | None
    channel: Channel | None


def claim_delivery(delivery_id: str, *, now: dt.datetime | None = None) -> Claimed | None:
    """Take a delivery that is due. None where there is nothing to send, or not now.

    Whose senders have died five times is parked. A channel that was switched off meanwhile hands on to the next.
    """
    with whole("deliver.claim"):
        now = now or database_now()
        row = Delivery.objects.select_for_update().filter(pk=delivery_id).first()
        if row is None or not _is_claimable(row, now):
            return None
        if row.state == DeliveryState.IN_FLIGHT:
            row.lost_tries += 1
            _keep_counted(row)
            if row.lost_tries >= LOST_TRIES_LIMIT:
                _end(row, DeliveryState.DEAD, now, fault="lost", code="parked")
                return None
        if row.kind == DeliveryKind.MESSAGE and not _may_go(row, now):
            return None
        if row.kind == DeliveryKind.CALLBACK and is_shut(row):
            _end(row, DeliveryState.DEAD, now, fault=Fault.AUTH, code=SHUT)
            return None
        row.state = DeliveryState.IN_FLIGHT
        row.tries += 1
        row.claimed_until = now + CLAIM
        row.save()
    return Claimed(delivery=row, message=row.message, channel=row.channel)


def finish_delivery(claimed: Claimed, outcome: Receipt | ChannelError, *, now: dt.datetime | None = None) -> None:
    """Write down what became of a try. Nothing happens if the row was claimed by somebody else meanwhile."""
    with whole("deliver.finish"):
        now = now or database_now()
        rows = Delivery.objects.select_for_update().filter(
            pk=claimed.delivery.pk, tries=claimed.delivery.tries, state=DeliveryState.IN_FLIGHT
        )
        row = rows.first()
        if row is None:
            return
        row.claimed_until = None
        if isinstance(outcome, Receipt):
            row.provider_id = outcome.provider_id[:128]
            _end(row, DeliveryState.SENT, now, fault="", code=outcome.code)
            if row.channel_id:
                Channel.objects.filter(pk=row.channel_id).update(last_sent_at=now)
        else:
            _fail(row, outcome, now)


def refuse_sent(*, account: str, address: str, provider_id: str, code: str, now: dt.datetime | None = None) -> bool:
    """A platform says afterwards that what it had taken did not reach the person; tell whether we know the delivery.

    It is handed on as if it had been refused. WeChat counts it all the same. Word that comes before the try is written
    down finds nothing.
    """
    with transaction.atomic():
        now = now or database_now()
        # Asked first and locked then: a lock over both tables takes the channel's row first, a finish takes it last.
        told = Delivery.objects.filter(channel__account=account, channel__address=address, provider_id=provider_id)
        found = told.filter(state=DeliveryState.SENT).first() if provider_id else None
        row = found and Delivery.objects.select_for_update().filter(pk=found.pk, state=DeliveryState.SENT).first()
        if row is None:
            return False
        # What the platform says of an id, it says of every try that carried it.
        row.unheard = False
        row.fault, row.provider_code = Fault.PERMANENT, code[:64]
        _refused(row, ChannelError(Fault.PERMANENT, code[:64]), now)
    return True


def ring_due_deliveries(*, limit: int = SWEEP_LIMIT, now: dt.datetime | None = None) -> int:
    """Ring deliveries that have been due for two seconds, or whose sender died; return how many."""
    now = now or database_now()
    due = Delivery.objects.claimable(now - _LOST_AFTER).order_by("due_at").values_list("pk", "lane")
    rung: list[str] = []
    beyond: list[str] = []
    crowded: set[str] = set()
    while room := limit - len(rung):
        lanes: defaultdict[str, list[str]] = defaultdict(list)
        for delivery_id, lane in due.exclude(lane__in=crowded)[:room]:
            lanes[lane].append(delivery_id)
        found = sum(map(len, lanes.values()))
        long = {lane for lane, ids in lanes.items() if len(ids) > _LANE_SHARE} if found == room else set()
        for lane in long or lanes:
            share = _LANE_SHARE if long else room
            rung += lanes[lane][:share]
            beyond += lanes[lane][share:]
        if not long:
            break
        crowded |= long
    rung += beyond[: limit - len(rung)]
    for delivery_id in rung:
        ring("delivery", delivery_id)
    return len(rung)


def replay_delivery(delivery: Delivery) -> bool:
    """Try a delivery that was given up once more, from the beginning of its table; tell whether it was.

    Not one that was handed on: another channel has said it, or that one can be tried again. It counts anew.
    """
    with whole("deliver.replay"):
        now = database_now()
        if is_handed_on(delivery):
            return False
        dead = Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.DEAD)
        again = dead.update(
            state=DeliveryState.PENDING, due_at=now, tries=0, lost_tries=0, unheard=False, reserved="", fault="",
            provider_code="", ended_at=None,
        )  # fmt: skip
        if again:
            open_target(delivery)
            ring("delivery", delivery.pk)
        return bool(again)


def is_handed_on(delivery: Delivery) -> bool:
    """Tell whether a channel behind this one has the message."""
    keys = [step_key(delivery.message_id, channel_id, way) for channel_id, way in delivery.fallback]
    return bool(keys) and Delivery.objects.filter(dedupe_key__in=keys).exists()


def _is_claimable(row: Delivery, now: dt.datetime) -> bool:
    if row.state in (DeliveryState.PENDING, DeliveryState.RETRY):
        return row.due_at <= now
    return row.state == DeliveryState.IN_FLIGHT and row.claimed_until is not None and row.claimed_until <= now


def _may_go(row: Delivery, now: dt.datetime) -> bool:
    """Tell whether the row's channel takes a message now; else put the row where it belongs."""
    channel, message = row.channel, row.message
    if message is not None and row.tries and _is_replaced(message):
        # It was on its way when the newer word came, and comes back: old news, which nobody needs after the new.
        give_back(row)
        _end(row, DeliveryState.WITHDRAWN, now, fault=row.fault, code=row.provider_code)
        return False
    # A chat that was tied to another account since is not this person's any more.
    if channel is None or not channel.enabled or channel.owner_id != row.owner_id:
        give_back(row)
        _refused(row, ChannelError(Fault.PERMANENT, "channel off"), now)
        return False
    quiet_until = after_quiet(channel, message.level, now) if message is not None else now
    if quiet_until > now:
        # It came from another channel, or from a try before them.
        _postpone(row, quiet_until)
        return False
    driver = driver_of(channel.driver)
    ready_at = take_turn(driver.meter(settings_of(channel), channel.address), driver.rates, now=now)
    if ready_at is not None:
        _postpone(row, ready_at)
        return False
    if is_of_another_day(row.reserved, now):
        give_back(row)
    if not row.reserved and counts(channel, row.way):
        found = reserve(channel, row.way, now=now)
        if isinstance(found, Exhausted):
            if row.unheard:
                # Its first try was counted. Either the platform took that one and refuses this, or it has the room.
                return True
            again = found.standing.recovers_at
            seconds = (again - now).total_seconds() if again else None
            fault = Fault.QUOTA if again else Fault.WINDOW
            _refused(row, ChannelError(fault, "limit", retry_after_seconds=seconds), now)
            return False
        row.reserved = found.mark
    return True


def _keep_counted(row: Delivery) -> None:
    """Nobody heard how a try ended: a text may have used its place, and the next try counts for itself.

    A template carries its id: for ten minutes WeChat takes it for the same one, and counts it once.
    """
    row.unheard = True
    if row.way == Way.TEXT:
        row.reserved = ""


def _is_replaced(message: Message) -> bool:
    """Tell whether something newer was said under the message's key."""
    newer = Message.objects.filter(owner_id=message.owner_id, key=message.key, pk__gt=message.pk)
    return bool(message.key) and newer.exists()


def _postpone(row: Delivery, due_at: dt.datetime) -> None:
    row.state = DeliveryState.RETRY if row.tries else DeliveryState.PENDING
    row.due_at = due_at
    row.claimed_until = None
    row.save()


def _fail(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    if error.unheard:
        _keep_counted(row)
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
    _refused(row, error, now)


def _try_again(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    delays = DELAYS[row.kind]
    if row.tries > len(delays):
        # Perhaps the service has it after all: then no other channel may say it a second time.
        if row.unheard or not _hand_on(row, now):
            _end(row, DeliveryState.DEAD, now, fault=error.kind, code=error.code)
        return
    seconds = delays[row.tries - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, keeps no secret
    asked = min(error.retry_after_seconds or 0.0, _LONGEST_RETRY_AFTER)
    row.state = DeliveryState.RETRY
    row.due_at = now + dt.timedelta(seconds=max(seconds, asked))
    if row.unheard and row.due_at - row.created_at > _SAME_FOR:
        # By then WeChat has forgotten the template's id: the next try counts for itself.
        row.reserved = ""
    row.save()


def _refused(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    """The service has certainly not taken this try: the next channel, later, or never.

    Not the next channel where an earlier try was not answered: the service may have said that one. A try whose sender
    died does not count for this: then saying it twice is better than not at all.
    """
    if not (row.unheard and not row.lost_tries) and _hand_on(row, now):
        return
    if error.kind is Fault.QUOTA and row.tries <= len(DELAYS[row.kind]):
        seconds = error.retry_after_seconds or _QUOTA_PAUSE_SECONDS
        _postpone(row, now + dt.timedelta(seconds=min(seconds, _LONGEST_RETRY_AFTER)))
        return
    _end(row, DeliveryState.DEAD, now, fault=error.kind, code=error.code)


def _hand_on(row: Delivery, now: dt.datetime) -> bool:
    """Let the next channel of the chain take over; tell whether there is one."""
    if row.message is None or not row.fallback:
        return False
    own = Channel.objects.filter(owner_id=row.owner_id)
    channels = own.in_bulk([channel_id for channel_id, _way in row.fallback])
    found = fallback_step(row, channels)
    if found is None:
        return False
    step, rest = found
    following = message_delivery(row.message, step, rest, reserved="", due_at=now, now=now)
    # Two targets may share a fallback: it gets the message once.
    following, made = Delivery.objects.get_or_create(
        dedupe_key=following.dedupe_key,
        defaults={
            field.attname: getattr(following, field.attname)
            for field in Delivery._meta.concrete_fields
            if field.attname != "dedupe_key"
        },
    )
    _end(row, DeliveryState.DEAD, now, fault=row.fault or Fault.PERMANENT, code=row.provider_code or "handed on")
    if made:
        ring("delivery", following.pk)
    return True


def _end(row: Delivery, state: DeliveryState, now: dt.datetime, *, fault: str, code: str) -> None:
    row.state, row.fault, row.provider_code = state, fault, code[:64]
    row.ended_at = now
    row.claimed_until = None
    row.save()
    if row.kind == DeliveryKind.CALLBACK and state == DeliveryState.DEAD:
        tell_given_up(row, now)


def switch_off(channel: Channel, *, reason: str, now: dt.datetime) -> None:
    """Stop using a channel that its service refuses, and tell its owner on another one."""
    if not Channel.objects.filter(pk=channel.pk, enabled=True).update(
        enabled=False, off_reason=reason[:64], off_at=now, changed_at=now
    ):
        return
    channel.enabled = False
    with translation.override(channel.owner.language or settings.LANGUAGE_CODE):
        text = _("The channel %(name)s is switched off: its service refuses it (%(reason)s). Mend it and switch it on.")
    notice = Wish(
        owner_id=channel.owner_id,
        text=text % {"name": channel.name, "reason": reason},
        level=Level.WARNING,
        source="LetServer",
        without=frozenset({channel.pk}),
    )
    accept_messages([notice], now=now)
