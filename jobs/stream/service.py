"""Events of a user's jobs and messages, ordered by id, for programs that poll.

Ids grow with time, but a row becomes visible only when its transaction commits. So a row can appear after a row with
a higher id has been returned, and one id is not enough for a cursor. A cursor has two parts: `low`, at most LATE
before the time of the call, and `returned`, marks of the rows above `low` that earlier pages contained.

Example with LATE = 15 s. The numbers are ids, written as the second in which they were made:

    at 100 s  rows 90, 97 are visible   page: 90, 97   cursor: low 85, returned {90, 97}
    at 101 s  row 95 commits late       page: 95       cursor: low 86, returned {90, 95, 97}
    at 120 s  nothing new               page: empty    cursor: low 105, returned {}

A row is missed if it becomes visible more than LATE after its id was made, or behind more than MARKS_LIMIT returned
rows of the owner, or behind SCAN_LIMIT events of all owners. The first cannot happen to a call: its transaction is
rolled back after 5 s (`kernel.transactions`).
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
"""One call reads at most this many events of all owners; then the cursor moves behind them."""

_ID_BYTES = 16
_MARK_BYTES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The position of a poller: it continues with rows above the id `low`, except `returned` (last six bytes of their
    ids).
    """

    low: str
    returned: tuple[bytes, ...] = ()

    def write(self) -> str:
        """Return the cursor as opaque URL-safe text."""
        return base64.urlsafe_b64encode(uuid.UUID(self.low).bytes + b"".join(self.returned)).decode().rstrip("=")

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
        returned = tuple(data[start : start + _MARK_BYTES] for start in range(_ID_BYTES, len(data), _MARK_BYTES))
        return cls(low=str(uuid.UUID(bytes=data[:_ID_BYTES])), returned=returned)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPage:
    """One page: events and messages ordered by id, and the cursor for the next call."""

    items: Sequence[JobEvent | Message]
    cursor: Cursor


def start_now(*, owner_id: str, now: dt.datetime | None = None) -> Cursor:
    """Return the cursor behind every row that is visible now."""
    cursor = Cursor(low=lowest_id((now or database_now()) - LATE))
    while (page := read_page(owner_id=owner_id, since=cursor, now=now)).items:
        cursor = page.cursor
    return page.cursor


def read_page(*, owner_id: str, since: Cursor, now: dt.datetime | None = None) -> StreamPage:
    """Return up to 100 job events and messages of the owner that earlier pages did not contain. Takes no lock."""
    now = now or database_now()
    scanned = JobEvent.objects.filter(pk__gt=since.low).order_by("pk").values_list("pk", "job__owner_id")
    seen = list(scanned[:SCAN_LIMIT])
    end = seen[-1][0] if len(seen) == SCAN_LIMIT else None
    messages = Message.objects.filter(owner_id=owner_id, pk__gt=since.low).order_by("pk")
    if end is not None:
        messages = messages.filter(pk__lte=end)
    room = PAGE + len(since.returned)
    ids = [pk for pk, owner in seen if owner == owner_id][:room]
    ids = sorted([*ids, *messages.values_list("pk", flat=True)[:room]])
    known = set(since.returned)
    fresh = [row_id for row_id in ids if _mark(row_id) not in known]
    page = fresh[:PAGE]
    low = end or lowest_id(now - LATE)
    if len(fresh) >= PAGE:
        low = min(low, page[-1])
    returned = [row_id for row_id in ids if row_id in set(page) or _mark(row_id) in known]
    low = max(low, since.low, *returned[-MARKS_LIMIT - 1 : -MARKS_LIMIT])
    return StreamPage(
        items=_rows(page), cursor=Cursor(low=low, returned=tuple(_mark(row_id) for row_id in returned if row_id > low))
    )


def _rows(ids: Sequence[str]) -> list[JobEvent | Message]:
    events = JobEvent.objects.select_related("job").in_bulk(ids)
    messages = Message.objects.in_bulk(ids)
    return [events.get(row_id) or messages[row_id] for row_id in ids]


def _mark(row_id: str) -> bytes:
    return uuid.UUID(row_id).bytes[-_MARK_BYTES:]
