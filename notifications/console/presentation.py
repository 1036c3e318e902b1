"""Channels and messages as their pages show them: the meaning of codes, backlogs, limits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from kernel.clock import database_now
from kernel.visible import visible_line
from notifications.channels.confirming import needs_confirmation
from notifications.channels.settings import settings_of
from notifications.drivers.base import Fault, Rate, Words
from notifications.drivers.registry import driver_of
from notifications.models import WAITING_STATES, Channel, Delivery, DeliveryState, Level, Message
from notifications.quota.ledger import platform_usages
from notifications.quota.pace import recent_uses

OWNER_DID = "owner"
"""The reason of a channel that its owner switched off."""

_LINE_CHARACTERS = 120
_DAY, _HOUR, _MINUTE = 86_400, 3600, 60
_OUR_WORDS: dict[str, Words] = {
    OWNER_DID: gettext_lazy("you switched it off"),
    "unfollowed": gettext_lazy("you do not follow the account any more"),
    "blocked": gettext_lazy("you have blocked the bot"),
    "unbound": gettext_lazy("you untied this chat from your account"),
    "limit": gettext_lazy("the limit is reached"),
    "channel off": gettext_lazy("the channel is switched off"),
    "handed on": gettext_lazy("the next channel takes it"),
    "parked": gettext_lazy("its attempts ended without a result too often"),
    "no account": gettext_lazy("this server has no such account"),
}
_FAULTS: dict[str, Words] = {
    Fault.RETRY: gettext_lazy("the service did not take it for now"),
    Fault.PERMANENT: gettext_lazy("the service refuses this message"),
    Fault.QUOTA: gettext_lazy("the service takes no more for now"),
    Fault.WINDOW: gettext_lazy("the service waits for a message from you"),
    Fault.AUTH: gettext_lazy("the service refuses the channel"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLine:
    """One channel of the list. `service` is its name, `off` why it is off (empty: it is on), `waiting` deliveries.

    `is_asked`: its mailbox is not confirmed yet, so no message goes there.
    """

    channel: Channel
    service: str
    levels: str
    off: str
    off_code: str
    waiting: int
    is_personal: bool
    is_asked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much of one limit is used: `recovers_at` where that is known, else `recovers` in words."""

    name: str
    used: int
    limit: int
    recovers: str
    recovers_at: dt.datetime | None = None

    @property
    def is_full(self) -> bool:
        """Whether nothing more goes for now."""
        return self.used >= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One delivery of a message: the `meaning` of its code, and the channel that took over, `went_to`."""

    delivery: Delivery
    state: str
    meaning: str
    went_to: str
    next_at: dt.datetime | None
    can_replay: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLine:
    """One message of the list; `headline` is its title, or else its text, on one line."""

    message: Message
    headline: str
    state: str
    channels: str


def is_personal(channel: Channel) -> bool:
    """Tell whether a channel was made by a person's account at a platform: there is nothing to fill in."""
    return channel.address is not None


def meaning_of(channel: Channel | None, code: str, fault: str = "") -> str:
    """Return what a code means to a person: as the service's table says, as ours does, or by the kind of fault."""
    if code in _OUR_WORDS:
        return str(_OUR_WORDS[code])
    meaning = driver_of(channel.driver).explain(code) if channel is not None and code else ""
    return str(meaning or _FAULTS.get(fault, ""))


def channel_line(channel: Channel, waiting: int = 0) -> ChannelLine:
    """Return a channel as the list and its page tell it."""
    levels = [str(Level(one).label) for one in channel.levels if one in Level.values]
    reason = channel.off_reason
    return ChannelLine(
        channel=channel,
        service=str(driver_of(channel.driver).label),
        levels=", ".join(levels),
        off="" if channel.enabled else meaning_of(channel, reason, Fault.AUTH),
        off_code="" if channel.enabled or reason in _OUR_WORDS else reason,
        waiting=waiting,
        is_personal=is_personal(channel),
        is_asked=needs_confirmation(channel),
    )


def channel_lines(user: User) -> list[ChannelLine]:
    """Return the person's channels in the order in which they are tried."""
    waits = dict(
        Delivery.objects.visible_to(user)
        .open()
        .filter(channel__isnull=False)
        .values_list("channel_id")
        .annotate(Count("pk"))
        .order_by()
    )
    return [channel_line(one, waits.get(one.pk, 0)) for one in Channel.objects.visible_to(user).in_order()]


def allowances(user: User, channels: Sequence[Channel]) -> list[Allowance]:
    """Return what the services still take of these channels' messages: credits and days first, then paces."""
    now = database_now()
    found = [
        Allowance(
            name=str(usage.name),
            used=usage.used,
            limit=usage.limit,
            recovers=_("when you write there"),
            recovers_at=usage.recovers_at,
        )
        for usage in platform_usages(owner_id=user.pk, channels=channels, now=now)
    ]
    for channel in channels:
        driver = driver_of(channel.driver)
        if driver.rates:
            key = driver.meter(settings_of(channel), channel.address)
            times = recent_uses(key)
            found += [_pace(channel, rate, times, now) for rate in driver.rates]
    return found


def message_lines(messages: Sequence[Message]) -> list[MessageLine]:
    """Return rows of the list; deliveries with their channels should be prefetched."""
    lines = []
    for message in messages:
        names = dict.fromkeys(one.channel.name for one in message.deliveries.all() if one.channel is not None)
        channels = ", ".join(names)
        lines.append(
            MessageLine(message=message, headline=headline_of(message), state=message.state, channels=channels)
        )
    return lines


def headline_of(message: Message) -> str:
    """Return a message on one line, cut."""
    return Truncator(visible_line(message.title or message.text)).chars(_LINE_CHARACTERS)


def delivery_lines(message: Message) -> list[DeliveryLine]:
    """Return the deliveries of a message, in the order in which they were tried."""
    deliveries = list(message.deliveries.all())
    by_step = {(one.channel_id, one.way): one for one in deliveries}
    return [delivery_line(one, _taken_over(one, by_step)) for one in deliveries]


def delivery_line(delivery: Delivery, heir: Delivery | None = None) -> DeliveryLine:
    """Return one delivery; `heir` is the one that took over from it."""
    channel = delivery.channel
    waits = delivery.state in WAITING_STATES
    dead = delivery.state == DeliveryState.DEAD
    went_to = heir.channel.name if dead and heir is not None and heir.channel is not None else ""
    usable = channel is not None and channel.enabled
    return DeliveryLine(
        delivery=delivery,
        state="handed_on" if went_to else delivery.state,
        meaning=meaning_of(channel, delivery.provider_code, delivery.fault) if delivery.fault else "",
        went_to=went_to,
        next_at=delivery.due_at if waits else None,
        can_replay=dead and not went_to and usable,
    )


def _taken_over(delivery: Delivery, by_step: dict[tuple[str | None, str], Delivery]) -> Delivery | None:
    """Return the delivery to the first step behind this one that there is: it carries what this one did not."""
    found = (by_step.get((channel_id, way)) for channel_id, way in delivery.fallback)
    return next((one for one in found if one is not None), None)


def _pace(channel: Channel, rate: Rate, times: Sequence[float], now: dt.datetime) -> Allowance:
    recent = [at for at in times if at > now.timestamp() - rate.seconds]
    full = len(recent) >= rate.number
    free_at = dt.datetime.fromtimestamp(recent[-rate.number] + rate.seconds, dt.UTC) if full else None
    return Allowance(
        name=channel.name,
        used=min(len(recent), rate.number),
        limit=rate.number,
        recovers=_stretch(rate.seconds),
        recovers_at=free_at,
    )


def _stretch(seconds: int) -> str:
    if seconds == 1:
        return _("each second")
    if seconds == _MINUTE:
        return _("each minute")
    if seconds == _HOUR:
        return _("each hour")
    if seconds == _DAY:
        return _("each day")
    return ngettext("within %(count)s second", "within %(count)s seconds", seconds) % {"count": seconds}
