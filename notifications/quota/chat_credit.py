"""Chat credit: the texts that WeChat lets us send within 48 hours after a person has written.

Worked example, with LETSERVER_TEXTS_A_WINDOW=20:

| what happens | used | limit | learned | refused_at |
|---|---|---|---|---|
| the person writes: `open_credit` | 0 | 20 | – | – |
| 7 texts are reserved and sent | 7 | 20 | – | – |
| the 8th is refused with 45047, and its reservation is given back | 7 | 20 | – | – |
| `learn_refusal`: nothing more is sent in this window | 20 | 20 | – | 7 |
| the person writes again | 0 | 20 | – | 7 |
| 7 texts are sent, the 8th is refused again: two refusals at one count | 20 | 20 | 7 | 7 |
| the person writes again: the learned limit holds | 0 | 7 | 7 | 7 |

A refusal with 45015 means that there is no window: `ends_at` is set to now, and nothing is learned.

Texts in flight while the person's message is on its way to us count in the new window, as WeChat counts them: with 2 of
them, `used` starts at 2.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q

from kernel.bells import ring
from kernel.rows import ensure_row
from notifications.drivers.base import Fault
from notifications.models import OPEN_STATES, WAITING_STATES, Channel, ChatCredit, Delivery, DeliveryState, Way

WINDOW = dt.timedelta(hours=48)
WINDOW_SHUT = "45015"
TEXTS_USED_UP = "45047"
"""The two refusals that are about the window. WeChat has others for calls a minute and a day."""

_ON_ITS_WAY = dt.timedelta(seconds=5)
"""WeChat waits this long for us to take a person's message."""


def open_credit(*, owner_id: str, account: str, address: str, now: dt.datetime) -> None:
    """Start a new window, because the person has written; ring the texts that waited for it."""
    # Part of the caller's transaction, if there is one: the message that opens the window is stored with it or not at
    # all.
    with transaction.atomic(savepoint=False):
        credit = _lock_credit(owner_id=owner_id, account=account, address=address, now=now)
        learned = credit.learned if credit.learned is not None else settings.TEXTS_A_WINDOW
        credit.owner_id, credit.ends_at = owner_id, now + WINDOW
        credit.limit = min(learned, settings.TEXTS_A_WINDOW)
        counted, waiting = _unfinished_texts(credit, now)
        credit.used = min(counted, credit.limit)
        credit.save(update_fields=["owner_id", "ends_at", "limit", "used"])
        # Release half of a window: answers to what the person starts now need room. The rest waits for the next window.
        _ring_waiting(waiting[: max(1, settings.TEXTS_A_WINDOW // 2)], now)


def reserve_text(channel: Channel, now: dt.datetime) -> tuple[ChatCredit | None, bool]:
    """Count one text if the channel's window is open and not used up; return its credit, and whether it was counted."""
    rows = ChatCredit.objects.filter(account=channel.account, address=channel.address or "")
    counted = rows.filter(ends_at__gt=now, used__lt=F("limit")).update(used=F("used") + 1)
    return rows.first(), bool(counted)


def release_text(credit_id: str) -> None:
    """Give one counted text back."""
    ChatCredit.objects.filter(pk=credit_id, used__gt=0).update(used=F("used") - 1)


def learn_refusal(channel: Channel, *, window_is_shut: bool, now: dt.datetime) -> None:
    """Stop sending texts until the person writes, because WeChat has refused one whose reservation is given back.

    A second refusal at the same count makes that count the limit of later windows. With `window_is_shut` there was no
    window, and the count says nothing.
    """
    credit = ChatCredit.objects.select_for_update().filter(account=channel.account, address=channel.address or "")
    row = credit.first()
    if row is None:
        return
    if window_is_shut:
        row.ends_at = now
    else:
        if row.refused_at == row.used:
            row.learned = row.used
        row.refused_at = row.used
        row.used = row.limit
    row.save()


def mark_of(credit: ChatCredit) -> str:
    """Return the mark of a text that this credit has counted."""
    return f"credit:{credit.pk}"


def _lock_credit(*, owner_id: str, account: str, address: str, now: dt.datetime) -> ChatCredit:
    """Return a chat's row, inserted if there is none, locked against concurrent reservations."""
    rows = ChatCredit.objects.select_for_update().filter(account=account, address=address)
    known = rows.first()
    if known is not None:
        return known
    fresh = ChatCredit(
        account=account, address=address, owner_id=owner_id, ends_at=now + WINDOW, limit=settings.TEXTS_A_WINDOW
    )
    ensure_row(fresh, "account", "address")
    return rows.get()


def _unfinished_texts(credit: ChatCredit, now: dt.datetime) -> tuple[int, list[str]]:
    """Return how many texts WeChat counts in a window that starts now, and the ids of those that waited for it."""
    lately = now - _ON_ITS_WAY
    # The channel's own time keeps a long history from being searched for the last seconds.
    just_sent = Q(state=DeliveryState.SENT, ended_at__gt=lately, channel__last_sent_at__gt=lately)
    texts = Delivery.objects.filter(
        channel__driver="wechat", channel__account=credit.account, channel__address=credit.address, way=Way.TEXT
    )
    rows = texts.filter(Q(state__in=OPEN_STATES) | just_sent).values_list("pk", "state", "reserved", "fault", "due_at")
    counted, waiting = 0, []
    for delivery_id, state, reserved, fault, due_at in rows.order_by("pk"):
        counted += state in (DeliveryState.IN_FLIGHT, DeliveryState.SENT) or reserved == mark_of(credit)
        if state in WAITING_STATES and fault == Fault.WINDOW and due_at > now:
            waiting.append(delivery_id)
    return counted, waiting


def _ring_waiting(delivery_ids: Sequence[str], now: dt.datetime) -> None:
    """Ring deliveries; skip locked rows, whose transaction may be waiting for the credit: that would be a deadlock."""
    if not delivery_ids:
        return
    skip = connection.features.has_select_for_update_skip_locked
    unlocked = Delivery.objects.select_for_update(skip_locked=skip).filter(pk__in=delivery_ids)
    ids = list(unlocked.order_by("pk").values_list("pk", flat=True))
    Delivery.objects.filter(pk__in=ids).update(due_at=now)
    for delivery_id in ids:
        ring("delivery", delivery_id)
