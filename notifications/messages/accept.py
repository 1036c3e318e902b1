"""A message comes into being: stored with everything that must be sent, before anybody is answered."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from kernel.bells import ring
from kernel.clock import database_now, rfc3339
from kernel.errors import AppError, IdempotencyMismatch, InvalidRequest, LimitExceeded, NoChannel
from kernel.idempotency import digest_of_key
from kernel.ids import new_id
from notifications.deliveries.events import tell_of_message
from notifications.messages.routing import Chain, Step, chains
from notifications.models import (
    COLOURS,
    OPEN_STATES,
    Channel,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Format,
    Level,
    Message,
    MessageAction,
)
from notifications.quota.ledger import Exhausted, Reservation, Standing, give_back, reserve

BACKLOG_LIMIT = 500
"""So many deliveries may wait for one channel."""

_REPLACED_LIMIT = 100
"""Of so many messages under one key, the newest, some may still wait: each has replaced those before it."""

LONGEST_WAIT = dt.timedelta(days=400)
_AGAIN = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WishedAction:
    """Something the person may answer with, by number."""

    label: str
    agent: str
    text: str
    expires_seconds: int = 24 * 3600
    once: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A checked wish for a message.

    `way`: template, text or auto, where a channel knows several. `channels` and `fallback` are names or ids; without
    them the owner's channels for the level serve. `address`: account and address at which the person is answered.
    `must_reach`: refuse what no channel can take now, instead of keeping it. `key`: replaces what was sent under it and
    still waits. `message_id` is made once, before the first try.
    """

    owner_id: str
    text: str
    title: str = ""
    format: str = Format.TEXT
    level: str = Level.INFO
    source: str = ""
    colour: str = ""
    url: str = ""
    mentions: tuple[str, ...] = ()
    agent_id: str = ""
    way: str = ""
    channels: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    address: tuple[str, str] | None = None
    without: frozenset[str] = frozenset()
    key: str = ""
    idempotency_key: str | None = None
    not_before: dt.datetime | None = None
    actions: tuple[WishedAction, ...] = ()
    must_reach: bool = False
    message_id: str = field(default_factory=new_id)

    @property
    def idempotency_digest(self) -> str | None:
        """The key as it is kept."""
        return digest_of_key(self.idempotency_key)

    @property
    def request_digest(self) -> str:
        """What must be equal for two wishes to be the same."""
        said = [
            self.text, self.title, self.format, self.level, self.source, self.colour, self.url, self.mentions,
            self.agent_id, self.way, self.channels, self.fallback, self.address, self.key, rfc3339(self.not_before),
            [[one.label, one.agent, one.text, one.expires_seconds, one.once] for one in self.actions],
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def accept_messages(wishes: Sequence[NewMessage], *, now: dt.datetime | None = None) -> list[Message | AppError]:
    """Store a message and its deliveries for each wish; a repeated one is answered with the message it made before.

    Per item: ChannelNotFound; InvalidRequest for a `not_before` too far away; NoChannel and LimitExceeded where it must
    reach somebody; IdempotencyMismatch. Raises IntegrityError when another transaction won a race for a key: the caller
    tries again and finds its row.

    What is wished again within MERGE_SECONDS is counted on one message that waits, instead of sent.
    """
    with transaction.atomic():
        now = now or database_now()
        owners = {wish.owner_id for wish in wishes}
        channels: defaultdict[str, list[Channel]] = defaultdict(list)
        for channel in Channel.objects.filter(owner_id__in=owners).in_order():
            channels[channel.owner_id].append(channel)
        known = _find_known(wishes)
        outcomes: dict[str, Message | AppError] = {}
        # Rows of the ledger are locked in the order of their owners: no two transactions cross.
        for wish in sorted(wishes, key=lambda one: one.owner_id):
            before = known.get(wish.message_id) or (known.get((wish.owner_id, wish.idempotency_digest)))
            if before is not None:
                same = before.request_digest == wish.request_digest
                outcomes[wish.message_id] = before if same else IdempotencyMismatch()
                continue
            try:
                # What was reserved for a message that is refused after all is given back.
                with transaction.atomic():
                    message = _accept(wish, channels[wish.owner_id], now)
            except AppError as error:
                outcomes[wish.message_id] = error
                continue
            outcomes[wish.message_id] = message
            if wish.idempotency_digest is not None:
                known[wish.owner_id, wish.idempotency_digest] = message
    return [outcomes[wish.message_id] for wish in wishes]


def _find_known(wishes: Sequence[NewMessage]) -> dict[object, Message]:
    """Return messages that exist already: by id (the same try again) and by (owner, key digest)."""
    known: dict[object, Message] = dict(Message.objects.in_bulk([wish.message_id for wish in wishes]))
    digests = {wish.idempotency_digest for wish in wishes if wish.idempotency_key is not None}
    if digests:
        owners = {wish.owner_id for wish in wishes}
        for message in Message.objects.filter(owner_id__in=owners, idempotency_digest__in=digests):
            known[message.owner_id, message.idempotency_digest] = message
    return known


def _accept(wish: NewMessage, channels: Sequence[Channel], now: dt.datetime) -> Message:
    if wish.not_before is not None and wish.not_before > now + LONGEST_WAIT:
        raise InvalidRequest(_("A message can be kept for %(days)s days."), params={"days": LONGEST_WAIT.days})
    same = _latest_same(wish, now)
    if same is not None and _counted_on(same):
        return same
    if wish.key:
        # Before anything is counted: what is replaced makes room, and whoever finishes a row locks it first too.
        earlier = Message.objects.filter(owner_id=wish.owner_id, key=wish.key).order_by("-pk")
        withdraw(list(earlier.values_list("pk", flat=True)[:_REPLACED_LIMIT]), now=now)
    planned = chains(
        channels,
        level=wish.level,
        way=wish.way,
        to=wish.channels,
        fallback=wish.fallback,
        address=wish.address,
        without=wish.without,
    )
    if not planned and wish.must_reach:
        raise NoChannel
    starts = [_Start.of(chain, now) for chain in planned]
    if wish.must_reach and (full := next((one.exhausted for one in starts if one.exhausted), None)):
        raise full_error(full, now)
    message = _new_message(wish, now)
    held_until = same.created_at + dt.timedelta(seconds=settings.MERGE_SECONDS) if same is not None else None
    due_at = max(filter(None, (now, wish.not_before, held_until)))
    message.save(force_insert=True)
    MessageAction.objects.bulk_create(_new_actions(wish, message, now))
    deliveries = [start.delivery(message, due_at=due_at, now=now) for start in starts]
    Delivery.objects.bulk_create(deliveries)
    for delivery in deliveries:
        if delivery.due_at <= now:
            ring("delivery", delivery.pk)
    if settings.EVENTS:
        tell_of_message(message, now)
    _warn(starts, now)
    return message


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """Where a chain begins: the first step that has room, and what is left behind it; or none has."""

    step: Step
    rest: Chain
    reservation: Reservation | None = None
    exhausted: Exhausted | None = None

    @classmethod
    def of(cls, chain: Chain, now: dt.datetime) -> _Start:
        first_full: Exhausted | None = None
        for place, step in enumerate(chain):
            found = _room(step, now)
            if isinstance(found, Reservation):
                return cls(step=step, rest=chain[place + 1 :], reservation=found)
            first_full = first_full or found
        return cls(step=chain[0], rest=chain[1:], exhausted=first_full)

    def delivery(self, message: Message, *, due_at: dt.datetime, now: dt.datetime) -> Delivery:
        """Return the row to insert. What has no room waits until there is some."""
        if self.exhausted is not None:
            due_at = max(due_at, self.exhausted.standing.recovers_at or now + _AGAIN)
        return message_delivery(
            message, self.step, self.rest, reserved=self.reservation.mark if self.reservation else "",
            due_at=after_quiet(self.step.channel, message.level, due_at), now=now,
        )  # fmt: skip


def _room(step: Step, now: dt.datetime) -> Reservation | Exhausted:
    if is_crowded(step.channel, step.way):
        name = str(_("messages that wait for the channel %(name)s")) % {"name": step.channel.name}
        full = Standing(name=name, used=BACKLOG_LIMIT, limit=BACKLOG_LIMIT, recovers_at=now + _AGAIN)
        return Exhausted(standing=full)
    return reserve(step.channel, step.way, now=now)


def is_crowded(channel: Channel, way: str) -> bool:
    """Tell whether as many deliveries wait for a channel as may. Texts that wait for a word keep no template out."""
    waiting = Delivery.objects.filter(channel=channel, way=way, state__in=OPEN_STATES)
    return waiting[:BACKLOG_LIMIT].count() >= BACKLOG_LIMIT


def message_delivery(
    message: Message, step: Step, rest: Chain, *, reserved: str, due_at: dt.datetime, now: dt.datetime
) -> Delivery:
    """Return the outbox row of a message for one step; once for each channel and way."""
    return Delivery(
        owner_id=message.owner_id,
        kind=DeliveryKind.MESSAGE,
        subject=f"message:{message.pk}",
        target=f"channel:{step.channel.pk}",
        dedupe_key=step_key(message.pk, step.channel.pk, step.way),
        message=message,
        channel=step.channel,
        way=step.way,
        fallback=[one.mark for one in rest],
        reserved=reserved,
        payload={},
        lane=f"channel:{step.channel.pk}",
        due_at=due_at,
        created_at=now,
    )


def step_key(message_id: str | None, channel_id: str, way: str) -> str:
    """Return what makes a message exist once for each channel and way."""
    return f"message:{message_id}:{channel_id}:{way}"


def full_error(full: Exhausted, now: dt.datetime) -> LimitExceeded:
    """Return the answer that names the limit and when it recovers."""
    standing = full.standing
    params: dict[str, object] = {"name": standing.name, "limit": standing.limit}
    if standing.recovers_at is None:
        return LimitExceeded(_("The limit is reached: %(name)s, %(limit)s. It recovers when you write."), params=params)
    seconds = max(1, math.ceil((standing.recovers_at - now).total_seconds()))
    local = standing.recovers_at.astimezone(ZoneInfo(settings.TIME_ZONE))
    return LimitExceeded(
        _("The limit is reached: %(name)s, %(limit)s. It recovers at %(time)s."),
        params=params | {"time": f"{local:%Y-%m-%d %H:%M:%S}"},
        retry_after_seconds=seconds,
    )


def withdraw(message_ids: Sequence[str], *, now: dt.datetime) -> None:
    """Take back what has not been sent of these messages, and what was counted for it.

    A try that is on its way may arrive; it is the last one: whoever finishes it sees that the message is taken back.
    """
    still_open = Delivery.objects.filter(message_id__in=message_ids, state__in=OPEN_STATES)
    rows = list(still_open.select_for_update().order_by("pk"))
    for row in rows:
        if row.state == DeliveryState.IN_FLIGHT:
            continue
        give_back(row)
        row.state, row.ended_at = DeliveryState.WITHDRAWN, now
        row.save(update_fields=["state", "ended_at", "reserved"])
    Message.objects.filter(pk__in={row.message_id for row in rows}).update(withdrawn_at=now)


def _latest_same(wish: NewMessage, now: dt.datetime) -> Message | None:
    """Return the same message of a moment ago, if there is one and this is a mere repetition of it."""
    if not settings.MERGE_SECONDS or wish.idempotency_key is not None or wish.actions or wish.not_before:
        return None
    since = now - dt.timedelta(seconds=settings.MERGE_SECONDS)
    same = Message.objects.filter(owner_id=wish.owner_id, request_digest=wish.request_digest, created_at__gt=since)
    return same.filter(withdrawn_at=None).order_by("-id").first()


def _counted_on(message: Message) -> bool:
    """Count once more on a message that waits; tell whether it does. Whoever claims it locks the same rows.

    Where one of its targets has it already, that one must hear of this too: then it does not wait.
    """
    rows = Delivery.objects.select_for_update().filter(message=message)
    if {row.state for row in rows} - {DeliveryState.DEAD} != {DeliveryState.PENDING}:
        return False
    Message.objects.filter(pk=message.pk).update(count=F("count") + 1)
    message.count += 1
    return True


def _new_message(wish: NewMessage, now: dt.datetime) -> Message:
    return Message(
        id=wish.message_id,
        owner_id=wish.owner_id,
        title=wish.title,
        text=wish.text,
        format=wish.format,
        level=wish.level,
        source=wish.source,
        colour=(wish.colour or COLOURS[Level(wish.level)]).upper(),
        url=wish.url,
        mentions=list(wish.mentions),
        agent_id=wish.agent_id,
        key=wish.key,
        idempotency_digest=wish.idempotency_digest,
        request_digest=wish.request_digest,
        not_before=wish.not_before,
        created_at=now,
    )


def _new_actions(wish: NewMessage, message: Message, now: dt.datetime) -> list[MessageAction]:
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
        for number, action in enumerate(wish.actions, 1)
    ]


def after_quiet(channel: Channel, level: str, due_at: dt.datetime) -> dt.datetime:
    """Return when a message may go: information waits for the end of the channel's quiet hours."""
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


def _warn(starts: Sequence[_Start], now: dt.datetime) -> None:
    """Tell the person, on another channel, that four fifths of a limit are used: the last of them are not for this."""
    for start in starts:
        standing = start.reservation.standing if start.reservation else None
        if standing is not None and standing.is_nearly_used:
            owner = start.step.channel.owner
            with translation.override(owner.language or settings.LANGUAGE_CODE):
                words = {"used": standing.used, "limit": standing.limit, "name": standing.name}
                text = str(_("%(used)s of %(limit)s are used: %(name)s.")) % words
            notice = NewMessage(
                owner_id=owner.pk,
                text=text,
                level=Level.WARNING,
                source="LetServer",
                without=frozenset({start.step.channel.pk}),
            )
            accept_messages([notice], now=now)


def fallback_step(delivery: Delivery, channels: Mapping[str, Channel]) -> tuple[Step, Chain] | None:
    """Return the next step of a delivery's chain whose channel is there and enabled, and what is behind it."""
    steps = [
        Step(channel=channels[channel_id], way=way)
        for channel_id, way in delivery.fallback
        if channel_id in channels and channels[channel_id].enabled
    ]
    return (steps[0], steps[1:]) if steps else None
