"""Rows of the outbox that carry a message: what one holds, what makes it unique, when it may go."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from django.conf import settings

from notifications.messages.routing import Chain, Step
from notifications.models import OPEN_STATES, Channel, Delivery, DeliveryKind, Level, Message

BACKLOG_LIMIT = 500
"""At most this many unfinished deliveries per channel and way."""


def message_delivery(
    message: Message, step: Step, fallback: Chain, *, reserved: str, due_at: dt.datetime, now: dt.datetime
) -> Delivery:
    """Return the unsaved row for one step of a message. Its dedupe key is unique per channel and way."""
    return Delivery(
        owner_id=message.owner_id,
        kind=DeliveryKind.MESSAGE,
        subject=f"message:{message.pk}",
        target=f"channel:{step.channel.pk}",
        dedupe_key=step_key(message.pk, step.channel.pk, step.way),
        message=message,
        channel=step.channel,
        way=step.way,
        fallback=[one.mark for one in fallback],
        reserved=reserved,
        payload={},
        lane=f"channel:{step.channel.pk}",
        due_at=due_at,
        created_at=now,
    )


def step_key(message_id: str | None, channel_id: str, way: str) -> str:
    """Return the dedupe key of a message on one channel by one way."""
    return f"message:{message_id}:{channel_id}:{way}"


def is_crowded(channel: Channel, way: str) -> bool:
    """Tell whether a channel's backlog is full for one way: texts that wait for a reply do not block templates."""
    waiting = Delivery.objects.filter(channel=channel, way=way, state__in=OPEN_STATES)
    return waiting[:BACKLOG_LIMIT].count() >= BACKLOG_LIMIT


def after_quiet(channel: Channel, level: str, due_at: dt.datetime) -> dt.datetime:
    """Return `due_at`, or the end of the channel's quiet hours if it lies in them and the level is information."""
    if level != Level.INFO or channel.quiet_from is None or channel.quiet_until is None:
        return due_at
    zone = ZoneInfo(settings.TIME_ZONE)
    local = due_at.astimezone(zone)
    start, end, clock = channel.quiet_from, channel.quiet_until, local.time()
    over_midnight = start > end
    is_quiet = clock >= start or clock < end if over_midnight else start <= clock < end
    if not is_quiet:
        return due_at
    day = local.date() + dt.timedelta(days=1 if over_midnight and clock >= start else 0)
    return dt.datetime.combine(day, end, zone).astimezone(dt.UTC)
