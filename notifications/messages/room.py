"""Choose the first channel of a chain that has room for a message, and reserve quota there."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from kernel.errors import LimitExceeded
from notifications.deliveries.rows import BACKLOG_LIMIT, after_quiet, is_crowded, message_delivery
from notifications.messages.new_message import NewMessage, notice
from notifications.messages.routing import Chain, Step
from notifications.models import Delivery, Message
from notifications.quota.ledger import Exhausted, PlatformUsage, Reservation, reserve

_NEXT_LOOK = dt.timedelta(minutes=1)
"""How long a delivery without room waits if the limit has no time at which it recovers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first step of a chain that has room, with its reservation and the steps after it.

    If no step has room, `step` is the first one and `exhausted` says why it is full.
    """

    step: Step
    fallback: Chain
    reservation: Reservation | None = None
    exhausted: Exhausted | None = None


def reserve_start(chain: Chain, now: dt.datetime) -> Start:
    """Reserve room on the first step of a chain that has some, in the caller's transaction."""
    full: Exhausted | None = None
    for number, step in enumerate(chain):
        found = _reserve_step(step, now)
        if isinstance(found, Reservation):
            return Start(step=step, fallback=chain[number + 1 :], reservation=found)
        full = full or found
    return Start(step=chain[0], fallback=chain[1:], exhausted=full)


def first_delivery(start: Start, message: Message, *, due_at: dt.datetime, now: dt.datetime) -> Delivery:
    """Return the unsaved row of a message's first step. Without room it is due when the limit recovers."""
    if start.exhausted is not None:
        due_at = max(due_at, start.exhausted.usage.recovers_at or now + _NEXT_LOOK)
    return message_delivery(
        message,
        start.step,
        start.fallback,
        reserved=start.reservation.mark if start.reservation else "",
        due_at=after_quiet(start.step.channel, message.level, due_at),
        now=now,
    )


def limit_warnings(starts: Iterable[Start]) -> list[NewMessage]:
    """Return a warning for each limit of which 80 % are used by now, to go to another channel of the owner."""
    usages = [(start.step.channel, start.reservation.usage) for start in starts if start.reservation]
    return [
        notice(
            channel.owner,
            _("%(used)s of %(limit)s are used: %(name)s."),
            {"used": usage.used, "limit": usage.limit, "name": usage.name},
            without=frozenset({channel.pk}),
        )
        for channel, usage in usages
        if usage is not None and usage.has_just_reached_warning
    ]


def limit_error(full: Exhausted, now: dt.datetime) -> LimitExceeded:
    """Return the error that names the limit and the time at which it recovers."""
    usage = full.usage
    params: dict[str, object] = {"name": usage.name, "limit": usage.limit}
    if usage.recovers_at is None:
        return LimitExceeded(_("The limit is reached: %(name)s, %(limit)s. It recovers when you write."), params=params)
    local = usage.recovers_at.astimezone(ZoneInfo(settings.TIME_ZONE))
    return LimitExceeded(
        _("The limit is reached: %(name)s, %(limit)s. It recovers at %(time)s."),
        params=params | {"time": f"{local:%Y-%m-%d %H:%M:%S}"},
        retry_after_seconds=max(1, math.ceil((usage.recovers_at - now).total_seconds())),
    )


def _reserve_step(step: Step, now: dt.datetime) -> Reservation | Exhausted:
    if is_crowded(step.channel, step.way):
        name = str(_("messages that wait for the channel %(name)s")) % {"name": step.channel.name}
        backlog = PlatformUsage(name=name, used=BACKLOG_LIMIT, limit=BACKLOG_LIMIT, recovers_at=now + _NEXT_LOOK)
        return Exhausted(usage=backlog)
    return reserve(step.channel, step.way, now=now)
