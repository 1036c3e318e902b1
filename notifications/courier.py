"""Who goes when, within one process: deliveries of one lane a few at a time, so that a slow target is alone with it.

A delivery whose lane is full waits here without a thread of its own; whoever finishes in that lane takes it along. What
waits here is in the database too: if the process dies, the sweep rings it again.
"""

from __future__ import annotations

import threading
from collections import deque

from notifications.models import Delivery, DeliveryKind
from notifications.sending import deliver

WIDTHS = {DeliveryKind.CALLBACK: 2, DeliveryKind.EVENT: 1, DeliveryKind.MESSAGE: 1}
"""How many of one lane are on their way at once. One for a channel: its messages keep their order."""

_WAITING_LIMIT = 1_000


class Lanes:
    """Which lanes are busy, and who waits for them. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: dict[str, int] = {}
        self._waiting: dict[str, deque[str]] = {}

    def enter(self, lane: str, width: int, delivery_id: str) -> bool:
        """Take a place in a lane, or stand in line for it. Beyond 1,000 nobody waits: the sweep rings again."""
        with self._lock:
            if self._busy.get(lane, 0) < width:
                self._busy[lane] = self._busy.get(lane, 0) + 1
                return True
            line = self._waiting.setdefault(lane, deque())
            if delivery_id not in line and len(line) < _WAITING_LIMIT:
                line.append(delivery_id)
            return False

    def next(self, lane: str) -> str | None:
        """Return the next in line, for whom the place is kept; None: nobody waits, and the place is given up."""
        with self._lock:
            line = self._waiting.get(lane)
            if line:
                return line.popleft()
            self._waiting.pop(lane, None)
            self._give_up(lane)
            return None

    def leave(self, lane: str) -> None:
        """Give a place up, whoever waits."""
        with self._lock:
            self._give_up(lane)

    def _give_up(self, lane: str) -> None:
        self._busy[lane] -= 1
        if not self._busy[lane]:
            del self._busy[lane]


_lanes = Lanes()


def carry(delivery_id: str) -> None:
    """Deliver one, when its lane has room, and whatever has come to wait for that lane meanwhile."""
    row = Delivery.objects.filter(pk=delivery_id).values_list("lane", "kind").first()
    if row is None:
        return
    lane, kind = row
    if not _lanes.enter(lane, WIDTHS[DeliveryKind(kind)], delivery_id):
        return
    following: str | None = delivery_id
    try:
        while following is not None:
            deliver(following)
            following = _lanes.next(lane)
    except BaseException:
        # The place must not be lost with the one who held it; who waits is rung by the sweep.
        _lanes.leave(lane)
        raise
