"""Who goes when, within one process: deliveries of one lane a few at a time, so that a slow target is alone with it.

A lane is quick or not known to be: nobody has been there yet, or the last who was took long. Those that are not known
to be quick go one at a time each, and all of them together have three quarters of the threads: however many addresses
hang, there are threads for those that answer. What finds no room waits here without a thread of its own, and whoever
finishes takes the next that may go along, lane after lane in turn. What waits here is in the database too: if the
process dies, the sweep rings it again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from django.conf import settings

from notifications.deliveries.sending import deliver
from notifications.models import Delivery, DeliveryKind

WIDTHS = {DeliveryKind.CALLBACK: 2, DeliveryKind.EVENT: 1, DeliveryKind.MESSAGE: 1}
"""How many of one lane are on their way at once. One for a channel: its messages keep their order."""

QUICK_SECONDS = 2.0
_WAITING_LIMIT = 1_000
_KNOWN_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A delivery's place in its lane. `quick`: whether the lane was known to be when the place was given."""

    lane: str
    delivery_id: str
    width: int
    quick: bool = False


class Lanes:
    """Which lanes are busy, and who waits for them. Any thread may call.

    `unknown_limit`: how many may go at once in lanes that are not known to be quick.
    """

    def __init__(self, unknown_limit: int) -> None:
        self._lock = threading.Lock()
        self._unknown_limit = unknown_limit
        self._unknown = 0
        self._quick: dict[str, None] = {}
        self._busy: dict[str, int] = {}
        self._waiting: dict[str, deque[Place]] = {}

    def enter(self, lane: str, width: int, delivery_id: str) -> Place | None:
        """Stand in line; return the place of the first in this line if it may go now.

        Beyond 1,000 nobody stands in line: the sweep rings again.
        """
        with self._lock:
            line = self._waiting.setdefault(lane, deque())
            if len(line) < _WAITING_LIMIT and all(place.delivery_id != delivery_id for place in line):
                line.append(Place(lane=lane, delivery_id=delivery_id, width=width))
            return self._first_of(lane)

    def leave(self, place: Place, *, seconds: float) -> Place | None:
        """Give a place up after so long, and return the next that may go; None: nobody."""
        with self._lock:
            self._give_up(place)
            self._quick.pop(place.lane, None)
            if seconds < QUICK_SECONDS:
                self._quick[place.lane] = None
                if len(self._quick) > _KNOWN_LIMIT:
                    del self._quick[next(iter(self._quick))]
            return next((found for lane in list(self._waiting) if (found := self._first_of(lane))), None)

    def drop(self, place: Place) -> None:
        """Give a place up, whoever waits."""
        with self._lock:
            self._give_up(place)

    def _first_of(self, lane: str) -> Place | None:
        line, quick = self._waiting[lane], lane in self._quick
        if self._busy.get(lane, 0) >= (line[0].width if quick else 1):
            return None
        if not quick and self._unknown >= self._unknown_limit:
            return None
        first = line.popleft()
        # Behind the other lanes for the next turn.
        del self._waiting[lane]
        if line:
            self._waiting[lane] = line
        self._busy[lane] = self._busy.get(lane, 0) + 1
        self._unknown += not quick
        return Place(lane=lane, delivery_id=first.delivery_id, width=first.width, quick=quick)

    def _give_up(self, place: Place) -> None:
        self._unknown -= not place.quick
        self._busy[place.lane] -= 1
        if not self._busy[place.lane]:
            del self._busy[place.lane]


def new_lanes() -> Lanes:
    """Return lanes for as many threads as the settings say that a courier has."""
    return Lanes(unknown_limit=max(1, settings.COURIER_THREADS * 3 // 4))


_lanes = new_lanes()


def carry(delivery_id: str) -> None:
    """Deliver one, when its lane has room, and whatever may go next while this thread is here."""
    row = Delivery.objects.filter(pk=delivery_id).values_list("lane", "kind").first()
    if row is None:
        return
    lane, kind = row
    place = _lanes.enter(lane, WIDTHS[DeliveryKind(kind)], delivery_id)
    while place is not None:
        began = time.monotonic()
        try:
            deliver(place.delivery_id)
        except BaseException:
            # The place must not be lost with the one who held it; who waits is rung by the sweep.
            _lanes.drop(place)
            raise
        place = _lanes.leave(place, seconds=time.monotonic() - began)
