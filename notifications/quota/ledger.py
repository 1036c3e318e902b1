"""What the platforms still allow: template messages of a day, texts that may follow a person's word, pace of a robot.

The numbers of a day are kept by `accounts.services.quotas`; what follows a word by `ChatCredit`; pace by `PaceMeter`.
Sources: the platforms' own documents, see docs/channels.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.services.quotas import is_quota_of, quota_used, release_quota, reserve_quota
from kernel.bells import ring
from kernel.rows import ensure_row
from notifications.drivers.base import Fault, Rate, Words
from notifications.models import OPEN_STATES, Channel, ChatCredit, Delivery, DeliveryState, PaceMeter, Way

WINDOW = dt.timedelta(hours=48)
WINDOW_SHUT = "45015"
TEXTS_USED_UP = "45047"
"""The two refusals that tell of the window. WeChat has others for calls in a minute and in a day."""

TEMPLATE_KIND = "wechat.template"
_WARN_AT = 0.8
_ON_ITS_WAY = dt.timedelta(seconds=5)
"""So long the platform waits for us to take what a person wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How much of one limit is used. `recovers_at` None: when the person writes to us again."""

    name: Words
    used: int
    limit: int
    recovers_at: dt.datetime | None

    @property
    def is_nearly_used(self) -> bool:
        """Whether this very use crossed four fifths."""
        return self.used == max(1, int(self.limit * _WARN_AT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One message counted: `mark` finds the count again. Empty where nothing is counted."""

    mark: str = ""
    standing: Standing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """There is no room."""

    standing: Standing


def counts(channel: Channel, way: str) -> bool:
    """Tell whether a platform counts what goes this way."""
    return channel.driver == "wechat" and way in (Way.TEMPLATE, Way.TEXT)


def reserve(channel: Channel, way: str, *, now: dt.datetime) -> Reservation | Exhausted:
    """Count one message for a channel and way, in the caller's transaction."""
    if not counts(channel, way):
        return Reservation()
    return _reserve_template(channel, now) if way == Way.TEMPLATE else _reserve_text(channel, now)


def release(mark: str) -> None:
    """Give back what a platform has certainly not taken."""
    ledger, _colon, row_id = mark.partition(":")
    if ledger == "quota":
        release_quota(row_id)
    elif ledger == "credit":
        ChatCredit.objects.filter(pk=row_id, used__gt=0).update(used=F("used") - 1)


def give_back(row: Delivery) -> None:
    """Give back what is counted for a delivery that has certainly not been taken; the caller saves the row.

    A template of which a try went unheard stays counted: its one mark stands for all its tries.
    """
    if not (row.unheard and row.way == Way.TEMPLATE):
        release(row.reserved)
    row.reserved = ""


def is_of_another_day(mark: str, now: dt.datetime) -> bool:
    """Tell whether something was counted for a day that is not today: the platform counts it when it is sent."""
    ledger, _colon, row_id = mark.partition(":")
    return ledger == "quota" and not is_quota_of(row_id, window_start=day_of(now)[0])


def open_credit(*, owner_id: str, account: str, address: str, now: dt.datetime) -> None:
    """A person has written to us: the window begins anew, with everything that it allows.

    What is still to be sent, or was while their word was on its way to us, is counted in the new one by the platform.
    Texts that waited for the word go.
    """
    # A part of the caller's transaction, where there is one: what they wrote is heard as a whole or not at all.
    with transaction.atomic(savepoint=False):
        credit = _lock_credit(owner_id=owner_id, account=account, address=address, now=now)
        learned = credit.learned if credit.learned is not None else settings.TEXTS_A_WINDOW
        credit.owner_id, credit.ends_at = owner_id, now + WINDOW
        credit.limit = min(learned, settings.TEXTS_A_WINDOW)
        counted, waiting = _texts_there(credit, now)
        credit.used = min(counted, credit.limit)
        credit.save(update_fields=["owner_id", "ends_at", "limit", "used"])
        # Half of what a window takes: what they begin now wants to be told too. The rest waits for their next word.
        _let_go(waiting[: max(1, settings.TEXTS_A_WINDOW // 2)], now)


def _let_go(delivery_ids: Sequence[str], now: dt.datetime) -> None:
    """Ring deliveries that waited; not those that somebody has locked, who may be waiting for the credit."""
    if not delivery_ids:
        return
    skip = connection.features.has_select_for_update_skip_locked
    free = Delivery.objects.select_for_update(skip_locked=skip).filter(pk__in=delivery_ids)
    ids = list(free.order_by("pk").values_list("pk", flat=True))
    Delivery.objects.filter(pk__in=ids).update(due_at=now)
    for delivery_id in ids:
        ring("delivery", delivery_id)


def _lock_credit(*, owner_id: str, account: str, address: str, now: dt.datetime) -> ChatCredit:
    """Return a chat's row, made where there is none; locked, so that nobody counts one more beside it."""
    rows = ChatCredit.objects.select_for_update().filter(account=account, address=address)
    known = rows.first()
    if known is not None:
        return known
    fresh = ChatCredit(
        account=account, address=address, owner_id=owner_id, ends_at=now + WINDOW, limit=settings.TEXTS_A_WINDOW
    )
    ensure_row(fresh, "account", "address")
    return rows.get()


def _texts_there(credit: ChatCredit, now: dt.datetime) -> tuple[int, list[str]]:
    """Return how many texts of a chat the platform counts in a window that begins now, and those that waited for it."""
    lately = now - _ON_ITS_WAY
    # The channel knows when it sent last; without that a long history would be looked through for the last seconds.
    just_sent = Q(state=DeliveryState.SENT, ended_at__gt=lately, channel__last_sent_at__gt=lately)
    texts = Delivery.objects.filter(
        channel__driver="wechat", channel__account=credit.account, channel__address=credit.address, way=Way.TEXT
    )
    rows = texts.filter(Q(state__in=OPEN_STATES) | just_sent).values_list("pk", "state", "reserved", "fault", "due_at")
    counted, waiting = 0, []
    for delivery_id, state, reserved, fault, due_at in rows.order_by("pk"):
        counted += state in (DeliveryState.IN_FLIGHT, DeliveryState.SENT) or reserved == _mark_of(credit)
        if state in (DeliveryState.PENDING, DeliveryState.RETRY) and fault == Fault.WINDOW and due_at > now:
            waiting.append(delivery_id)
    return counted, waiting


def learn_refusal(channel: Channel, *, window_is_shut: bool, now: dt.datetime) -> None:
    """The platform refused a text: nothing more goes until the person writes. Refused twice at one count: the limit.

    `window_is_shut`: not the count was used up, there was no window.
    """
    row = ChatCredit.objects.select_for_update().filter(account=channel.account, address=channel.address or "").first()
    if row is None:
        return
    if window_is_shut:
        row.ends_at = now
    else:
        # The refused one was given back already: what stands is what the platform had taken.
        if row.refused_at == row.used:
            row.learned = row.used
        row.refused_at = row.used
        row.used = row.limit
    row.save()


def _reserve_template(channel: Channel, now: dt.datetime) -> Reservation | Exhausted:
    start, end = day_of(now)
    limit = settings.TEMPLATES_A_DAY
    row = reserve_quota(owner_id=channel.owner_id, kind=TEMPLATE_KIND, window_start=start, limit=limit)
    if row is None:
        return Exhausted(standing=_template_standing(limit, limit, end))
    return Reservation(mark=f"quota:{row.pk}", standing=_template_standing(row.used, row.limit, end))


def _reserve_text(channel: Channel, now: dt.datetime) -> Reservation | Exhausted:
    rows = ChatCredit.objects.filter(account=channel.account, address=channel.address or "")
    taken = rows.filter(ends_at__gt=now, used__lt=F("limit")).update(used=F("used") + 1)
    credit = rows.first()
    standing = _text_standing(credit, now)
    if not taken or credit is None:
        return Exhausted(standing=standing)
    return Reservation(mark=_mark_of(credit), standing=standing)


def _mark_of(credit: ChatCredit) -> str:
    return f"credit:{credit.pk}"


def _template_standing(used: int, limit: int, recovers_at: dt.datetime) -> Standing:
    return Standing(name=_("WeChat template messages of the day"), used=used, limit=limit, recovers_at=recovers_at)


def _text_standing(credit: ChatCredit | None, now: dt.datetime) -> Standing:
    is_open = credit is not None and credit.ends_at > now
    limit = credit.limit if credit else settings.TEXTS_A_WINDOW
    used = credit.used if credit and is_open else limit
    return Standing(name=_("WeChat texts until you write again"), used=used, limit=limit, recovers_at=None)


def standings(*, owner_id: str, channels: Iterable[Channel], now: dt.datetime) -> list[Standing]:
    """Return what a person has used of what is counted."""
    found = []
    chats = [channel for channel in channels if channel.driver == "wechat"]
    if chats:
        start, end = day_of(now)
        used = quota_used(owner_id=owner_id, kind=TEMPLATE_KIND, window_start=start)
        found.append(_template_standing(used, settings.TEMPLATES_A_DAY, end))
    for channel in chats:
        credit = ChatCredit.objects.filter(account=channel.account, address=channel.address or "").first()
        found.append(_text_standing(credit, now))
    return found


def day_of(now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return when the day of this server's time zone began and ends. No database counts days: it may not know zones."""
    zone = ZoneInfo(settings.TIME_ZONE)
    date = now.astimezone(zone).date()
    start, end = (dt.datetime.combine(day, dt.time(), zone) for day in (date, date + dt.timedelta(days=1)))
    return start.astimezone(dt.UTC), end.astimezone(dt.UTC)


def recent_sends(key: str) -> list[float]:
    """Return the times of the recent sends under a pace key, as seconds since 1970, oldest first."""
    meter = PaceMeter.objects.filter(key=key).first()
    return meter.times if meter else []


def take_turn(key: str, rates: Sequence[Rate], *, now: dt.datetime) -> dt.datetime | None:
    """Note that a robot is used now, or return when it may be: over any stretch of time no more than its rates say."""
    if not rates:
        return None
    ensure_row(PaceMeter(key=key), "key")
    meter = PaceMeter.objects.select_for_update().get(key=key)
    moment = now.timestamp()
    longest = max(rate.seconds for rate in rates)
    times = [at for at in meter.times if at > moment - longest]
    ready = max((_ready(times, rate) for rate in rates), default=0.0)
    if ready > moment:
        return dt.datetime.fromtimestamp(ready, dt.UTC)
    meter.times = [*times, moment]
    meter.save(update_fields=["times"])
    return None


def _ready(times: Sequence[float], rate: Rate) -> float:
    """Return when one more fits: as soon as the n-th last is older than the stretch."""
    return times[-rate.number] + rate.seconds if len(times) >= rate.number else 0.0
