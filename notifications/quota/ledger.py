"""The ledger of what the platforms count: reserve a message before it is sent, give it back if it was not taken.

A reservation has a mark, which the delivery keeps in `reserved`: `quota:<id>` for a template of a day, `credit:<id>`
for a text of a window, empty for a message that no platform counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.services.quotas import is_quota_of, quota_used, release_quota, reserve_quota
from notifications.drivers.base import Words
from notifications.models import Channel, ChatCredit, Delivery, Way
from notifications.quota.chat_credit import mark_of, release_text, reserve_text

TEMPLATE_KIND = "wechat.template"
_WARN_AT = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformUsage:
    """How much of one platform limit is used. `recovers_at` is None if it recovers when the person writes."""

    name: Words
    used: int
    limit: int
    recovers_at: dt.datetime | None

    @property
    def has_just_reached_warning(self) -> bool:
        """Tell whether the last use was the one that reached 80 %."""
        return self.used == max(1, int(self.limit * _WARN_AT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One reserved message. `mark` is empty and `usage` None if no platform counts it."""

    mark: str = ""
    usage: PlatformUsage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """A limit that has no room."""

    usage: PlatformUsage


def counts(channel: Channel, way: str) -> bool:
    """Tell whether a platform counts messages on this channel by this way."""
    return channel.driver == "wechat" and way in (Way.TEMPLATE, Way.TEXT)


def reserve(channel: Channel, way: str, *, now: dt.datetime) -> Reservation | Exhausted:
    """Reserve one message on a channel by one way, in the caller's transaction."""
    if not counts(channel, way):
        return Reservation()
    if way == Way.TEMPLATE:
        return _reserve_template(channel, now)
    credit, is_counted = reserve_text(channel, now)
    usage = _text_usage(credit, now)
    if credit is None or not is_counted:
        return Exhausted(usage=usage)
    return Reservation(mark=mark_of(credit), usage=usage)


def give_back(row: Delivery) -> None:
    """Give back what a delivery has reserved, and clear its mark without saving the row.

    A template with an unanswered attempt stays counted, because its one mark covers all attempts.
    """
    if not (row.unheard and row.way == Way.TEMPLATE):
        ledger, _colon, row_id = row.reserved.partition(":")
        if ledger == "quota":
            release_quota(row_id)
        elif ledger == "credit":
            release_text(row_id)
    row.reserved = ""


def is_of_another_day(mark: str, now: dt.datetime) -> bool:
    """Tell whether a template was reserved for another day: the platform counts it on the day of sending."""
    ledger, _colon, row_id = mark.partition(":")
    return ledger == "quota" and not is_quota_of(row_id, window_start=day_of(now)[0])


def platform_usages(*, owner_id: str, channels: Iterable[Channel], now: dt.datetime) -> list[PlatformUsage]:
    """Return what an owner has used of the limits that count for these channels: templates first, then texts."""
    chats = [channel for channel in channels if channel.driver == "wechat"]
    if not chats:
        return []
    start, end = day_of(now)
    used = quota_used(owner_id=owner_id, kind=TEMPLATE_KIND, window_start=start)
    usages = [_template_usage(used, settings.TEMPLATES_A_DAY, end)]
    for channel in chats:
        credit = ChatCredit.objects.filter(account=channel.account, address=channel.address or "").first()
        usages.append(_text_usage(credit, now))
    return usages


def day_of(now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return start and end of the day in TIME_ZONE, in UTC. Computed here: the database may lack time zone tables."""
    zone = ZoneInfo(settings.TIME_ZONE)
    date = now.astimezone(zone).date()
    start, end = (dt.datetime.combine(day, dt.time(), zone) for day in (date, date + dt.timedelta(days=1)))
    return start.astimezone(dt.UTC), end.astimezone(dt.UTC)


def _reserve_template(channel: Channel, now: dt.datetime) -> Reservation | Exhausted:
    start, end = day_of(now)
    limit = settings.TEMPLATES_A_DAY
    row = reserve_quota(owner_id=channel.owner_id, kind=TEMPLATE_KIND, window_start=start, limit=limit)
    if row is None:
        return Exhausted(usage=_template_usage(limit, limit, end))
    return Reservation(mark=f"quota:{row.pk}", usage=_template_usage(row.used, row.limit, end))


def _template_usage(used: int, limit: int, recovers_at: dt.datetime) -> PlatformUsage:
    return PlatformUsage(name=_("WeChat template messages of the day"), used=used, limit=limit, recovers_at=recovers_at)


def _text_usage(credit: ChatCredit | None, now: dt.datetime) -> PlatformUsage:
    is_open = credit is not None and credit.ends_at > now
    limit = credit.limit if credit else settings.TEXTS_A_WINDOW
    used = credit.used if credit and is_open else limit
    return PlatformUsage(name=_("WeChat texts until you write again"), used=used, limit=limit, recovers_at=None)
