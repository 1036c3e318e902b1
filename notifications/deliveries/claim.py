"""The life of a delivery: claimed by one sender, finished by it, rung again, replayed. `outcome.py`: what became of it.

Nothing is sent inside a transaction. A row is claimed first (its try is counted before the work), then sent, then
finished, and only by the try that claimed it: a sender that comes back late changes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass

from django.db import connection, transaction

from kernel.bells import ring
from kernel.clock import database_now
from kernel.transactions import whole
from notifications.channels.service import settings_of
from notifications.deliveries.callback_targets import SHUT, is_shut, open_target
from notifications.deliveries.outcome import end, fail, keep_counted, postpone, refuse, take_back
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.drivers.registry import driver_of
from notifications.messages.accept import after_quiet, step_key
from notifications.models import Channel, Delivery, DeliveryKind, DeliveryState, Message
from notifications.querysets import DeliveryQuerySet
from notifications.quota.ledger import Exhausted, counts, give_back, is_of_another_day, reserve, take_turn

CLAIM = dt.timedelta(seconds=60)
LOST_TRIES_LIMIT = 5
"""A row that its senders did not survive so often is parked."""

SWEEP_LIMIT = 500
_LANE_SHARE = 50
"""So many of one lane a sweep takes before it looks at the others: who hangs must not keep the sweep to himself."""

_LOST_AFTER = dt.timedelta(seconds=2)
_WAITING = (DeliveryState.PENDING, DeliveryState.RETRY)
_IN_HAND = 4
"""So many of a channel's messages other couriers may be claiming at this moment."""

_LONG = dt.timedelta(seconds=5)
"""A pause that outlasts a sweep: who waits need not be rung before it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that this process alone sends now, with everything that sending needs."""

    delivery: Delivery
    message: Message | None
    channel: Channel | None


def claim_delivery(delivery_id: str, *, now: dt.datetime | None = None) -> Claimed | None:
    """Take a delivery that is due, or the oldest of its channel's. None where there is nothing to send, or not now.

    Whose senders have died five times is parked. A channel that was switched off meanwhile hands on to the next.
    """
    with whole("deliver.claim"):
        now = now or database_now()
        row = _first_in_line(delivery_id, now)
        if row is None:
            return None
        if row.state == DeliveryState.IN_FLIGHT:
            row.lost_tries += 1
            keep_counted(row)
            if row.lost_tries >= LOST_TRIES_LIMIT:
                end(row, DeliveryState.DEAD, now, fault="lost", code="parked")
                return None
        if row.kind == DeliveryKind.MESSAGE and not _may_go(row, now):
            return None
        if row.kind == DeliveryKind.CALLBACK and is_shut(row):
            end(row, DeliveryState.DEAD, now, fault=Fault.AUTH, code=SHUT)
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
            end(row, DeliveryState.SENT, now, fault="", code=outcome.code)
            if row.channel_id:
                Channel.objects.filter(pk=row.channel_id).update(last_sent_at=now)
        else:
            fail(row, outcome, now)


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
        refuse(row, ChannelError(Fault.PERMANENT, code[:64]), now)
    return True


def ring_due_deliveries(*, limit: int = SWEEP_LIMIT, now: dt.datetime | None = None) -> int:
    """Ring deliveries that have been due for two seconds, or whose sender died; return how many."""
    now = now or database_now()
    # What was held back for the same moment stays in the order in which it was accepted.
    due = Delivery.objects.claimable(now - _LOST_AFTER).order_by("due_at", "pk").values_list("pk", "lane")
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

    Not one that was handed on: another channel has said it, or that one can be tried again. Not one that was taken
    back. It counts anew.
    """
    with whole("deliver.replay"):
        now = database_now()
        is_taken_back = delivery.message is not None and delivery.message.withdrawn_at is not None
        if is_taken_back or is_handed_on(delivery):
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


def _first_in_line(delivery_id: str, now: dt.datetime) -> Delivery | None:
    """Lock the delivery that was rung; of one channel's messages the oldest that is due and in nobody's hands.

    Bells come in any order. One that comes too early, while its own waits, means nothing.
    """
    asked = Delivery.objects.filter(pk=delivery_id).values_list("channel_id", "state", "due_at").first()
    if asked is None:
        return None
    channel_id, state, due_at = asked
    if state in _WAITING and due_at > now:
        return None
    line = [delivery_id]
    if channel_id is not None:
        same = Delivery.objects.open().claimable(now).filter(channel_id=channel_id)
        line = list(same.order_by("pk").values_list("pk", flat=True)[:_IN_HAND])
    found = (_locked().filter(pk=pk).first() for pk in line)
    return next((row for row in found if row is not None and _is_claimable(row, now)), None)


def _locked() -> DeliveryQuerySet:
    """Return rows to lock, without those that somebody else has locked."""
    skip = connection.features.has_select_for_update_skip_locked
    return Delivery.objects.select_for_update(skip_locked=skip)


def _is_claimable(row: Delivery, now: dt.datetime) -> bool:
    if row.state in _WAITING:
        return row.due_at <= now
    return row.state == DeliveryState.IN_FLIGHT and row.claimed_until is not None and row.claimed_until <= now


def _may_go(row: Delivery, now: dt.datetime) -> bool:
    """Tell whether the row's channel takes a message now; else put the row where it belongs."""
    channel, message = row.channel, row.message
    if take_back(row, now):
        return False
    # A chat that was tied to another account since is not this person's any more.
    if channel is None or not channel.enabled or channel.owner_id != row.owner_id:
        give_back(row)
        refuse(row, ChannelError(Fault.PERMANENT, "channel off"), now)
        return False
    quiet_until = after_quiet(channel, message.level, now) if message is not None else now
    if quiet_until > now:
        # It came from another channel, or from a try before them.
        postpone(row, quiet_until)
        return False
    driver = driver_of(channel.driver)
    ready_at = take_turn(driver.meter(settings_of(channel), channel.address), driver.rates, now=now)
    if ready_at is not None:
        _hold_back(row, ready_at, now)
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
            refuse(row, ChannelError(fault, "limit", retry_after_seconds=seconds), now)
            return False
        row.reserved = found.mark
    return True


def _hold_back(row: Delivery, ready_at: dt.datetime, now: dt.datetime) -> None:
    """Let a message wait for its channel's pace, and where that takes long, at one stroke, those behind it too."""
    postpone(row, ready_at)
    if ready_at - now >= _LONG:
        behind = _locked().filter(channel_id=row.channel_id, state__in=_WAITING, due_at__lte=now)
        Delivery.objects.filter(pk__in=list(behind.values_list("pk", flat=True)[:SWEEP_LIMIT])).update(due_at=ready_at)
