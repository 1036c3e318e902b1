"""Decide what follows a failed attempt. The caller has locked the row; every function that writes saves it.

The first row of the table whose condition holds decides:

| decision | condition |
|---|---|
| withdraw | the message was withdrawn while the attempt was in flight |
| retry | the failure is temporary, and attempts are left |
| fall back | the next channel of the chain is usable, and the service has certainly not taken the message |
| wait | the limit recovers, or the person may still write: `_waits_until` |
| give up | otherwise |

Do not fall back if an attempt was not answered: the service may have delivered it, and the person would read the
message twice. If the sender died instead (`lost_tries`), a refusal falls back all the same: twice is better than never.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

from kernel.bells import ring
from notifications.deliveries.callback_targets import shut_target, warn_of_dead_callback
from notifications.deliveries.rows import is_crowded, message_delivery
from notifications.deliveries.switching import switch_off
from notifications.drivers.base import ChannelError, Fault
from notifications.messages.routing import Chain, remaining_steps
from notifications.models import Channel, Delivery, DeliveryKind, DeliveryState, Way
from notifications.quota.chat_credit import TEXTS_USED_UP, WINDOW, WINDOW_SHUT, learn_refusal
from notifications.quota.ledger import give_back

_HOUR = 3600
DELAYS: dict[str, tuple[float, ...]] = {
    DeliveryKind.MESSAGE: (5, 30, 120, 600, 1800, 2 * _HOUR, 6 * _HOUR, 15 * _HOUR),
    # The table of Standard Webhooks: 75.6 hours in all.
    DeliveryKind.CALLBACK: (5, 300, 1800, *(hours * _HOUR for hours in (2, 5, 10, 14, 20, 24))),
    DeliveryKind.EVENT: (1, 2, 5, 10, 30, 60, 300, 1800),
}
"""Backoff: the seconds before the next attempt, by the number of attempts so far."""
_JITTER = 0.1
_LONGEST_RETRY_AFTER = 24 * _HOUR
_QUOTA_PAUSE_SECONDS = 65.0
_TEMPLATE_ID_KNOWN_FOR = dt.timedelta(minutes=10)
"""WeChat treats two template messages with one id as the same one for this long, and counts them once."""


class Decision(Enum):
    """The next step of a delivery after a failed attempt."""

    WITHDRAW = auto()
    RETRY = auto()
    FALL_BACK = auto()
    WAIT = auto()
    GIVE_UP = auto()


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """A failed attempt, with the queries that a decision needs; each runs once, and only if a decision needs it."""

    row: Delivery
    error: ChannelError
    now: dt.datetime

    @property
    def is_temporary(self) -> bool:
        return self.error.kind is Fault.RETRY

    @property
    def has_attempts_left(self) -> bool:
        return self.row.tries <= len(DELAYS[self.row.kind])

    @property
    def may_have_arrived(self) -> bool:
        return self.row.unheard and (self.is_temporary or not self.row.lost_tries)

    @cached_property
    def remaining(self) -> Chain:
        return _remaining_steps(self.row)

    @cached_property
    def waits_until(self) -> dt.datetime | None:
        return _waits_until(self)


_TABLE: tuple[tuple[Decision, Callable[[_Failure], bool]], ...] = (
    (Decision.WITHDRAW, lambda failure: is_withdrawn(failure.row)),
    (Decision.RETRY, lambda failure: failure.is_temporary and failure.has_attempts_left),
    (Decision.FALL_BACK, lambda failure: not failure.may_have_arrived and bool(failure.remaining)),
    (Decision.WAIT, lambda failure: failure.waits_until is not None),
    (Decision.GIVE_UP, lambda failure: True),
)


def write_failure(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    """Write that an attempt failed, or that the service did not answer, and what follows."""
    if error.unheard:
        mark_unanswered(row)
    row.fault, row.provider_code = error.kind, error.code
    if error.kind is not Fault.RETRY:
        # The service has refused the message, so it has not used the quota.
        give_back(row)
        _learn_from_refusal(row, error, now)
    _write_decision(_Failure(row=row, error=error, now=now))


def write_refusal(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    """Write what follows a definite refusal whose quota is settled: fall back, wait, or give up."""
    _write_decision(_Failure(row=row, error=error, now=now))


def is_withdrawn(row: Delivery) -> bool:
    """Tell whether the delivery's message was withdrawn or replaced."""
    return row.message is not None and row.message.withdrawn_at is not None


def withdraw_delivery(row: Delivery, now: dt.datetime) -> None:
    """End a delivery whose message was withdrawn, and give its quota back."""
    give_back(row)
    end_delivery(row, DeliveryState.WITHDRAWN, now, fault=row.fault, code=row.provider_code)


def mark_unanswered(row: Delivery) -> None:
    """Mark, without saving, that the service may have taken an attempt: a text stays counted, the next one counts too.

    A template carries its id, so WeChat recognises a repeat within ten minutes and counts it once.
    """
    row.unheard = True
    if row.way == Way.TEXT:
        row.reserved = ""


def postpone_delivery(row: Delivery, due_at: dt.datetime) -> None:
    """Let a delivery wait until `due_at`, without an attempt."""
    row.state = DeliveryState.RETRY if row.tries else DeliveryState.PENDING
    row.due_at = due_at
    row.claimed_until = None
    row.save()


def end_delivery(row: Delivery, state: DeliveryState, now: dt.datetime, *, fault: str, code: str) -> None:
    """End a delivery in `state`; warn the owner of a callback that is given up."""
    row.state, row.fault, row.provider_code = state, fault, code[:64]
    row.ended_at = now
    row.claimed_until = None
    row.save()
    if row.kind == DeliveryKind.CALLBACK and state == DeliveryState.DEAD:
        warn_of_dead_callback(row, now)


def _write_decision(failure: _Failure) -> None:
    row, error, now = failure.row, failure.error, failure.now
    match next(decision for decision, holds in _TABLE if holds(failure)):
        case Decision.WITHDRAW:
            withdraw_delivery(row, now)
        case Decision.RETRY:
            _schedule_retry(row, error, now)
        case Decision.FALL_BACK:
            _fall_back(row, failure.remaining, now)
        case Decision.WAIT:
            row.fault, row.provider_code = error.kind, error.code
            postpone_delivery(row, failure.waits_until or now)
        case Decision.GIVE_UP:
            end_delivery(row, DeliveryState.DEAD, now, fault=error.kind, code=error.code)


def _learn_from_refusal(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    """Write what a refusal says about the channel: a credit that is used up, broken keys, an address that is shut."""
    if row.channel is not None and row.way == Way.TEXT and error.code in (WINDOW_SHUT, TEXTS_USED_UP):
        learn_refusal(row.channel, window_is_shut=error.code == WINDOW_SHUT, now=now)
    if error.kind is not Fault.AUTH:
        return
    if row.channel is not None:
        switch_off(row.channel, reason=error.code, now=now)
    if row.kind == DeliveryKind.CALLBACK:
        shut_target(row, now)


def _schedule_retry(row: Delivery, error: ChannelError, now: dt.datetime) -> None:
    delay = DELAYS[row.kind][row.tries - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, keeps no secret
    retry_after = min(error.retry_after_seconds or 0.0, _LONGEST_RETRY_AFTER)
    row.state = DeliveryState.RETRY
    row.due_at = now + dt.timedelta(seconds=max(delay, retry_after))
    if row.unheard and row.due_at - row.created_at > _TEMPLATE_ID_KNOWN_FOR:
        # WeChat has forgotten the template's id by then and counts the next attempt separately.
        row.reserved = ""
    row.save()


def _waits_until(failure: _Failure) -> dt.datetime | None:
    """Return until when a delivery without another channel waits; None if waiting does not help.

    A text waits for the person to write, which rings it (`open_credit`), at most as long as a window would have lasted.
    """
    row, error, now = failure.row, failure.error, failure.now
    if error.kind is Fault.QUOTA and failure.has_attempts_left:
        seconds = error.retry_after_seconds or _QUOTA_PAUSE_SECONDS
        return now + dt.timedelta(seconds=min(seconds, _LONGEST_RETRY_AFTER))
    if error.kind is Fault.WINDOW and row.message is not None and row.channel is not None:
        until = (row.message.not_before or row.created_at) + WINDOW
        return until if until > now and not is_crowded(row.channel, row.way) else None
    return None


def _remaining_steps(row: Delivery) -> Chain:
    """Return the steps after this one whose channels still exist and are enabled."""
    if row.message is None or not row.fallback:
        return []
    own = Channel.objects.filter(owner_id=row.owner_id)
    return remaining_steps(row.fallback, own.in_bulk([channel_id for channel_id, _way in row.fallback]))


def _fall_back(row: Delivery, remaining: Chain, now: dt.datetime) -> None:
    """End a delivery and insert one for the next step, not due before the message's own time."""
    message = row.message
    if message is None:
        raise ValueError("only a message can fall back")
    due_at = max(now, message.not_before or now)
    following = message_delivery(message, remaining[0], remaining[1:], reserved="", due_at=due_at, now=now)
    # Two targets may share a fallback, which gets the message once.
    following, is_new = Delivery.objects.get_or_create(
        dedupe_key=following.dedupe_key,
        defaults={
            field.attname: getattr(following, field.attname)
            for field in Delivery._meta.concrete_fields
            if field.attname != "dedupe_key"
        },
    )
    end_delivery(
        row, DeliveryState.DEAD, now, fault=row.fault or Fault.PERMANENT, code=row.provider_code or "handed on"
    )
    if is_new and due_at <= now:
        ring("delivery", following.pk)
