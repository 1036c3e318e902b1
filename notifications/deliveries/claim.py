"""Claim a delivery: lock it, reserve what sending needs, count the attempt, all before anything is sent.

Nothing is sent inside a transaction. A claim lasts 60 s. If the sender dies, another one may claim the row after that;
`finish.py` ignores a sender that comes back later, because the row's `tries` has changed.
"""

from __future__ import annotations

import datetime as dt

from django.db import connection

from kernel.clock import database_now
from kernel.transactions import named_transaction
from notifications.channels.settings import settings_of
from notifications.deliveries.callback_targets import SHUT, is_shut
from notifications.deliveries.claimed import Claimed
from notifications.deliveries.outcome import (
    end_delivery,
    is_withdrawn,
    mark_unanswered,
    postpone_delivery,
    withdraw_delivery,
    write_refusal,
)
from notifications.deliveries.rows import after_quiet
from notifications.drivers.base import ChannelError, Fault
from notifications.drivers.registry import driver_of
from notifications.models import WAITING_STATES, Channel, Delivery, DeliveryKind, DeliveryState
from notifications.querysets import DeliveryQuerySet
from notifications.quota.ledger import Exhausted, counts, give_back, is_of_another_day, reserve
from notifications.quota.pace import take_turn

CLAIM = dt.timedelta(seconds=60)
LOST_TRIES_LIMIT = 5
"""A delivery whose senders died this often is parked."""

_CANDIDATES = 4
"""Look at this many of a channel's deliveries: other couriers may be claiming the first ones at the same time."""

_LONG_PAUSE = dt.timedelta(seconds=5)
"""Postpone the deliveries behind the first one too, so that no sweep rings them during such a pause."""

_PACED_LIMIT = 500


def claim_next(rung_id: str, *, now: dt.datetime | None = None) -> Claimed | None:
    """Claim the delivery that was rung, or the oldest due one of the same channel; None if none may be sent now.

    Bells arrive in any order, but the messages of a channel go in the order in which they were accepted. A delivery
    that cannot be sent is postponed, handed to the next channel, or ended in the same transaction.
    """
    with named_transaction("deliver.claim"):
        now = now or database_now()
        row = _lock_next(rung_id, now)
        if row is None or not _reserve_or_write_outcome(row, now):
            return None
        row.state = DeliveryState.IN_FLIGHT
        row.tries += 1
        row.claimed_until = now + CLAIM
        row.save()
    return Claimed(delivery=row, message=row.message, channel=row.channel)


def _lock_next(rung_id: str, now: dt.datetime) -> Delivery | None:
    """Lock and return the first claimable delivery; None if the rung one waits and is not due."""
    rung = Delivery.objects.filter(pk=rung_id).values_list("channel_id", "state", "due_at").first()
    if rung is None:
        return None
    channel_id, state, due_at = rung
    if state in WAITING_STATES and due_at > now:
        return None
    candidates = [rung_id]
    if channel_id is not None:
        same = Delivery.objects.open().claimable(now).filter(channel_id=channel_id)
        candidates = list(same.order_by("pk").values_list("pk", flat=True)[:_CANDIDATES])
    locked = (_unlocked().filter(pk=pk).first() for pk in candidates)
    return next((row for row in locked if row is not None and _is_claimable(row, now)), None)


def _unlocked() -> DeliveryQuerySet:
    """Return a query that locks the rows it reads and skips those that another transaction has locked."""
    skip = connection.features.has_select_for_update_skip_locked
    return Delivery.objects.select_for_update(skip_locked=skip)


def _is_claimable(row: Delivery, now: dt.datetime) -> bool:
    if row.state in WAITING_STATES:
        return row.due_at <= now
    return row.state == DeliveryState.IN_FLIGHT and row.claimed_until is not None and row.claimed_until <= now


def _reserve_or_write_outcome(row: Delivery, now: dt.datetime) -> bool:
    """Return True if a locked delivery may be sent now; otherwise write what happens to it instead."""
    if row.state == DeliveryState.IN_FLIGHT:
        # Its sender died: the service may have the message.
        row.lost_tries += 1
        mark_unanswered(row)
        if row.lost_tries >= LOST_TRIES_LIMIT:
            end_delivery(row, DeliveryState.DEAD, now, fault="lost", code="parked")
            return False
    if row.kind == DeliveryKind.CALLBACK and is_shut(row):
        end_delivery(row, DeliveryState.DEAD, now, fault=Fault.AUTH, code=SHUT)
        return False
    return row.kind != DeliveryKind.MESSAGE or _reserve_message(row, now)


def _reserve_message(row: Delivery, now: dt.datetime) -> bool:
    """Reserve pace and quota for a message; if the channel takes none now, write the outcome and return False."""
    channel = row.channel
    if is_withdrawn(row):
        withdraw_delivery(row, now)
    elif channel is None or not channel.enabled or channel.owner_id != row.owner_id:
        # A chat account may have moved to another owner while the delivery waited.
        give_back(row)
        write_refusal(row, ChannelError(Fault.PERMANENT, "channel off"), now)
    elif (quiet_until := _quiet_until(row, channel, now)) > now:
        postpone_delivery(row, quiet_until)
    elif (ready_at := _take_turn(channel, now)) is not None:
        _postpone_channel(row, ready_at, now)
    elif (full := _reserve_quota(row, channel, now)) is not None:
        write_refusal(row, full, now)
    else:
        return True
    return False


def _quiet_until(row: Delivery, channel: Channel, now: dt.datetime) -> dt.datetime:
    """Return when quiet hours end: a fallback, or a retry, was not scheduled with this channel's hours in mind."""
    return now if row.message is None else after_quiet(channel, row.message.level, now)


def _take_turn(channel: Channel, now: dt.datetime) -> dt.datetime | None:
    driver = driver_of(channel.driver)
    return take_turn(driver.meter(settings_of(channel), channel.address), driver.rates, now=now)


def _reserve_quota(row: Delivery, channel: Channel, now: dt.datetime) -> ChannelError | None:
    """Reserve quota unless the row has some that still counts; return the refusal if the limit is reached."""
    if is_of_another_day(row.reserved, now):
        give_back(row)
    if row.reserved or not counts(channel, row.way):
        return None
    found = reserve(channel, row.way, now=now)
    if not isinstance(found, Exhausted):
        row.reserved = found.mark
        return None
    if row.unheard:
        # The first attempt was counted. If the platform took it, it recognises the repeat; if not, it has the room.
        return None
    recovers_at = found.usage.recovers_at
    if recovers_at is None:
        return ChannelError(Fault.WINDOW, "limit")
    return ChannelError(Fault.QUOTA, "limit", retry_after_seconds=(recovers_at - now).total_seconds())


def _postpone_channel(row: Delivery, ready_at: dt.datetime, now: dt.datetime) -> None:
    """Postpone a message until its channel's pace allows it, and during a long pause every due one behind it."""
    postpone_delivery(row, ready_at)
    if ready_at - now >= _LONG_PAUSE:
        behind = _unlocked().filter(channel_id=row.channel_id, state__in=WAITING_STATES, due_at__lte=now)
        Delivery.objects.filter(pk__in=list(behind.values_list("pk", flat=True)[:_PACED_LIMIT])).update(due_at=ready_at)
