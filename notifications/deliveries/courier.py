"""Concurrency limits of the couriers: how many deliveries of one lane this process has in flight at the same time.

A lane is known to be fast if its last delivery took less than two seconds. A fast lane has as many slots as its kind
allows. Any other lane has one slot, and all of them together have three quarters of the threads, so that threads are
left for fast lanes however many targets hang.

Example with 32 threads: 20 hanging addresses hold one slot each. Callbacks to a 21st address that answers are delivered
on the other 12 threads, two at a time.

A delivery without a slot waits in this process without a thread. A thread that finishes takes the next delivery with a
free slot, one lane after the other. The database has the waiting deliveries too: if the process dies, the sweep rings
them again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from django.conf import settings

from kernel.failpoints import reach
from notifications.deliveries.sending import deliver
from notifications.models import Delivery, DeliveryKind

logger = logging.getLogger(__name__)

SLOTS = {DeliveryKind.CALLBACK: 2, DeliveryKind.EVENT: 1, DeliveryKind.MESSAGE: 1}
"""Slots of a fast lane, by kind. A channel has one, so that its messages keep their order."""

FAST_SECONDS = 2.0
_WAITING_LIMIT = 1_000
_FAST_LANES_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A slot of a lane, held by one delivery in flight. `was_fast` is what the lane was when the slot was taken."""

    lane: str
    delivery_id: str
    was_fast: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    delivery_id: str
    slots: int


class Lanes:
    """The slots in flight and the waiting deliveries of each lane. Thread-safe.

    `slow_limit` is the number of slots that all lanes which are not known to be fast have together.
    """

    def __init__(self, slow_limit: int) -> None:
        self._lock = threading.Lock()
        self._slow_limit = slow_limit
        self._slow_in_flight = 0
        self._fast: dict[str, None] = {}
        self._in_flight: dict[str, int] = {}
        self._waiting: dict[str, deque[_Waiting]] = {}

    def take_slot(self, lane: str, slots: int, delivery_id: str) -> Slot | None:
        """Enqueue a delivery; return a slot for the first one of its lane, or None if the lane has no free slot.

        `slots` is how many the lane has while it is fast. A lane queues at most 1,000; the sweep rings the others.
        """
        with self._lock:
            waiting = self._waiting.setdefault(lane, deque())
            if len(waiting) < _WAITING_LIMIT and all(one.delivery_id != delivery_id for one in waiting):
                waiting.append(_Waiting(delivery_id=delivery_id, slots=slots))
            return self._next_of(lane)

    def pass_on(self, slot: Slot, *, seconds: float) -> Slot | None:
        """Free a slot after a delivery that took `seconds`; return a slot for the next delivery, None if all wait."""
        with self._lock:
            self._release(slot)
            self._fast.pop(slot.lane, None)
            if seconds < FAST_SECONDS:
                self._fast[slot.lane] = None
                if len(self._fast) > _FAST_LANES_LIMIT:
                    del self._fast[next(iter(self._fast))]
            return next((found for lane in list(self._waiting) if (found := self._next_of(lane))), None)

    def free(self, slot: Slot) -> None:
        """Free a slot without starting the next delivery."""
        with self._lock:
            self._release(slot)

    def _next_of(self, lane: str) -> Slot | None:
        waiting, is_fast = self._waiting[lane], lane in self._fast
        if self._in_flight.get(lane, 0) >= (waiting[0].slots if is_fast else 1):
            return None
        if not is_fast and self._slow_in_flight >= self._slow_limit:
            return None
        first = waiting.popleft()
        # The lane goes behind the others: they are served in turn.
        del self._waiting[lane]
        if waiting:
            self._waiting[lane] = waiting
        self._in_flight[lane] = self._in_flight.get(lane, 0) + 1
        self._slow_in_flight += not is_fast
        return Slot(lane=lane, delivery_id=first.delivery_id, was_fast=is_fast)

    def _release(self, slot: Slot) -> None:
        self._slow_in_flight -= not slot.was_fast
        self._in_flight[slot.lane] -= 1
        if not self._in_flight[slot.lane]:
            del self._in_flight[slot.lane]


def new_lanes() -> Lanes:
    """Return lanes for the threads that the settings give to a courier."""
    return Lanes(slow_limit=max(1, settings.COURIER_THREADS * 3 // 4))


_lanes = new_lanes()


def carry(delivery_id: str) -> None:
    """Send a delivery if its lane has a free slot, then the next waiting ones for as long as there are any."""
    row = Delivery.objects.filter(pk=delivery_id).values_list("lane", "kind").first()
    if row is None:
        return
    lane, kind = row
    slot = _lanes.take_slot(lane, SLOTS[DeliveryKind(kind)], delivery_id)
    while slot is not None:
        began = time.monotonic()
        try:
            reach("courier.before_delivery")
            deliver(slot.delivery_id)
            seconds = time.monotonic() - began
        except Exception:
            # The sweep rings this delivery again. The deliveries that wait behind it need not wait for the sweep.
            logger.exception(
                "delivery failed", extra={"action": "courier.failed", "delivery": slot.delivery_id, "lane": slot.lane}
            )
            seconds = FAST_SECONDS
        except BaseException:
            # The thread is about to end: free the slot, and let the sweep ring what waits behind it.
            _lanes.free(slot)
            raise
        slot = _lanes.pass_on(slot, seconds=seconds)
