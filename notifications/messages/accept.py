"""Accept messages: store each with its deliveries in one transaction, before the caller is answered.

`repeats.py` finds requests that were made before, `routing.py` the channels, `room.py` the first one that has room.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from kernel.bells import ring
from kernel.clock import database_now
from kernel.errors import AppError, IdempotencyMismatch, InvalidRequest, NoChannel
from notifications.deliveries.events import write_message_event
from notifications.messages.new_message import NewMessage
from notifications.messages.repeats import StoredMessages, count_repeat, find_equal
from notifications.messages.room import Start, first_delivery, limit_error, limit_warnings, reserve_start
from notifications.messages.routing import chains
from notifications.messages.withdraw import withdraw_key
from notifications.models import COLOURS, Channel, Delivery, Level, Message, MessageAction

LONGEST_WAIT = dt.timedelta(days=400)


def accept_messages(requested: Sequence[NewMessage], *, now: dt.datetime | None = None) -> list[Message | AppError]:
    """Store each message with its deliveries; return one outcome per request, in the order of `requested`.

    A request that was made before returns the message that it made then. An equal one within MERGE_SECONDS is counted
    on the message that still waits. The errors of an outcome are ChannelNotFound; InvalidRequest for a `not_before`
    too far away; NoChannel and LimitExceeded with `must_reach`; IdempotencyMismatch.

    Raises IntegrityError if another transaction wins a race for an idempotency key: run it again to find its row.
    """
    with transaction.atomic():
        now = now or database_now()
        channels = _channels_of({one.owner_id for one in requested})
        stored = StoredMessages(requested)
        outcomes: dict[str, Message | AppError] = {}
        # In the order of the owners, in which every transaction locks rows of the quota ledger: two cannot deadlock.
        for one in sorted(requested, key=lambda one: one.owner_id):
            earlier = stored.find(one)
            if earlier is not None:
                is_same = earlier.request_digest == one.request_digest
                outcomes[one.message_id] = earlier if is_same else IdempotencyMismatch()
                continue
            outcome = _accept_with_warnings(one, channels[one.owner_id], now)
            outcomes[one.message_id] = outcome
            if isinstance(outcome, Message):
                stored.add(outcome)
    return [outcomes[one.message_id] for one in requested]


def _channels_of(owner_ids: set[str]) -> defaultdict[str, list[Channel]]:
    found: defaultdict[str, list[Channel]] = defaultdict(list)
    for channel in Channel.objects.filter(owner_id__in=owner_ids).in_order():
        found[channel.owner_id].append(channel)
    return found


def _accept_with_warnings(requested: NewMessage, channels: Sequence[Channel], now: dt.datetime) -> Message | AppError:
    """Accept a message, then the warnings about limits that it causes; a warning can cause another one."""
    waiting = [requested]
    outcomes: list[Message | AppError] = []
    while waiting:
        one = waiting.pop(0)
        starts: list[Start] = []
        try:
            # The savepoint gives back what was reserved for a message that is refused after all.
            with transaction.atomic():
                message, starts = _accept(one, channels, now)
        except AppError as error:
            outcomes.append(error)
        else:
            outcomes.append(message)
            waiting += limit_warnings(starts)
    return outcomes[0]


def _accept(requested: NewMessage, channels: Sequence[Channel], now: dt.datetime) -> tuple[Message, list[Start]]:
    """Store one message and reserve what it needs; return it with the start of each of its chains."""
    if requested.not_before is not None and requested.not_before > now + LONGEST_WAIT:
        raise InvalidRequest(_("A message can be kept for %(days)s days."), params={"days": LONGEST_WAIT.days})
    equal = find_equal(requested, now)
    if equal is not None and count_repeat(equal):
        return equal, []
    if requested.key:
        # Before anything is reserved: the replaced messages make room, and finishing a delivery locks rows in the same
        # order.
        withdraw_key(requested.owner_id, requested.key, now=now)
    starts = _reserve(requested, channels, now)
    merged_until = equal.created_at + dt.timedelta(seconds=settings.MERGE_SECONDS) if equal is not None else None
    due_at = max(filter(None, (now, requested.not_before, merged_until)))
    return _store(requested, starts, due_at=due_at, now=now), starts


def _reserve(requested: NewMessage, channels: Sequence[Channel], now: dt.datetime) -> list[Start]:
    planned = chains(
        channels,
        level=requested.level,
        way=requested.way,
        to=requested.channels,
        fallback=requested.fallback,
        address=requested.address,
        without=requested.without,
    )
    if not planned and requested.must_reach:
        raise NoChannel
    starts = [reserve_start(chain, now) for chain in planned]
    full = next((start.exhausted for start in starts if start.exhausted), None)
    if requested.must_reach and full is not None:
        raise limit_error(full, now)
    return starts


def _store(requested: NewMessage, starts: Sequence[Start], *, due_at: dt.datetime, now: dt.datetime) -> Message:
    message = _new_message(requested, now)
    message.save(force_insert=True)
    MessageAction.objects.bulk_create(_new_actions(requested, message, now))
    deliveries = [first_delivery(start, message, due_at=due_at, now=now) for start in starts]
    Delivery.objects.bulk_create(deliveries)
    for delivery in deliveries:
        if delivery.due_at <= now:
            ring("delivery", delivery.pk)
    if settings.EVENTS:
        write_message_event(message, now)
    return message


def _new_message(requested: NewMessage, now: dt.datetime) -> Message:
    return Message(
        id=requested.message_id,
        owner_id=requested.owner_id,
        title=requested.title,
        text=requested.text,
        format=requested.format,
        level=requested.level,
        source=requested.source,
        colour=(requested.colour or COLOURS[Level(requested.level)]).upper(),
        url=requested.url,
        mentions=list(requested.mentions),
        agent_id=requested.agent_id,
        key=requested.key,
        idempotency_digest=requested.idempotency_digest,
        request_digest=requested.request_digest,
        not_before=requested.not_before,
        created_at=now,
    )


def _new_actions(requested: NewMessage, message: Message, now: dt.datetime) -> list[MessageAction]:
    return [
        MessageAction(
            message=message,
            number=number,
            label=action.label,
            agent=action.agent,
            text=action.text,
            once=action.once,
            expires_at=now + dt.timedelta(seconds=action.expires_seconds),
        )
        for number, action in enumerate(requested.actions, 1)
    ]
