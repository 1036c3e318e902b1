"""What happened to a person's jobs and messages, in the order of the ids, for programs that ask again and again.

Ids grow with time, but a row becomes visible when its transaction commits, which may be after one with a higher id. So
a cursor is not one id. It says from where on to look, LATE before the time of the look at most, and which of the rows
beyond that were told already: what commits late is still found, and nothing is told twice. What becomes visible later
than LATE, after more than MARKS_LIMIT of the owner's rows or SCAN_LIMIT of all, is missed; a call's transaction is
undone after 5 s (`kernel.transactions`).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.models import JobEvent
from kernel.clock import database_now
from kernel.ids import lowest_id
from notifications.models import Message

LATE = dt.timedelta(seconds=15)
MARKS_LIMIT = 500
PAGE = 100
SCAN_LIMIT = 5_000
"""So many events, of whomever, are looked through at one time; the cursor then moves behind them."""

_ID_BYTES = 16
_MARK_BYTES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Look after the id `low`; `told`: the ends of ids beyond it that were told."""

    low: str
    told: tuple[bytes, ...] = ()

    def write(self) -> str:
        """Return it as text, in which nobody is tempted to read anything."""
        return base64.urlsafe_b64encode(uuid.UUID(self.low).bytes + b"".join(self.told)).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """Return what `write` wrote; None for anything else."""
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        marks = len(data) - _ID_BYTES
        if marks < 0 or marks % _MARK_BYTES or marks > MARKS_LIMIT * _MARK_BYTES:
            return None
        told = tuple(data[start : start + _MARK_BYTES] for start in range(_ID_BYTES, len(data), _MARK_BYTES))
        return cls(low=str(uuid.UUID(bytes=data[:_ID_BYTES])), told=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Events and messages in the order of their ids, and where to go on."""

    items: Sequence[JobEvent | Message]
    cursor: Cursor


def start_now(*, owner_id: str, now: dt.datetime | None = None) -> Cursor:
    """Return the cursor behind everything that can be seen now."""
    cursor = Cursor(low=lowest_id((now or database_now()) - LATE))
    while (news := read_news(owner_id=owner_id, since=cursor, now=now)).items:
        cursor = news.cursor
    return news.cursor


def read_news(*, owner_id: str, since: Cursor, now: dt.datetime | None = None) -> News:
    """Return up to 100 events of the owner's jobs and messages of the owner that `since` does not know. No lock."""
    now = now or database_now()
    scanned = JobEvent.objects.filter(pk__gt=since.low).order_by("pk").values_list("pk", "job__owner_id")
    seen = list(scanned[:SCAN_LIMIT])
    end = seen[-1][0] if len(seen) == SCAN_LIMIT else None
    messages = Message.objects.filter(owner_id=owner_id, pk__gt=since.low).order_by("pk")
    if end is not None:
        messages = messages.filter(pk__lte=end)
    room = PAGE + len(since.told)
    ids = [pk for pk, owner in seen if owner == owner_id][:room]
    ids = sorted([*ids, *messages.values_list("pk", flat=True)[:room]])
    known = set(since.told)
    fresh = [row_id for row_id in ids if _mark(row_id) not in known]
    page = fresh[:PAGE]
    low = end or lowest_id(now - LATE)
    if len(fresh) >= PAGE:
        low = min(low, page[-1])
    told = [row_id for row_id in ids if row_id in set(page) or _mark(row_id) in known]
    low = max(low, since.low, *told[-MARKS_LIMIT - 1 : -MARKS_LIMIT])
    return News(items=_rows(page), cursor=Cursor(low=low, told=tuple(_mark(row_id) for row_id in told if row_id > low)))


def _rows(ids: Sequence[str]) -> list[JobEvent | Message]:
    events = JobEvent.objects.select_related("job").in_bulk(ids)
    messages = Message.objects.in_bulk(ids)
    return [events.get(row_id) or messages[row_id] for row_id in ids]


def _mark(row_id: str) -> bytes:
    return uuid.UUID(row_id).bytes[-_MARK_BYTES:]
