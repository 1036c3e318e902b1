"""Deliveries a second of one courier to webhooks of the simulator, with enough pending in many channels."""

from __future__ import annotations

import datetime as dt
import json
import time

from benchmarks.load import CALLERS, at_once, request
from benchmarks.people import CHANNELS, people
from benchmarks.product import Product
from benchmarks.table import Bench, Line, Round
from tests.waiting import until

_A_SECOND_AT_MOST = 300
_SHORTEST_SECONDS = 1.0
_WARM_SECONDS = 90.0
_BATCH = 100


def _measure(product: Product, seconds: float) -> Round:
    from notifications.models import Delivery, DeliveryState
    from notifications.tasks import ring_workers

    seconds = max(seconds, _SHORTEST_SECONDS)
    ids = _waiting(product, int(seconds * _A_SECOND_AT_MOST))
    rows = Delivery.objects.filter(pk__gte=min(ids))
    sent = rows.filter(state=DeliveryState.SENT)
    with product.courier():
        ring_workers(ids)
        warm = len(ids) // 20
        until(lambda: sent.count() >= warm, seconds=_WARM_SECONDS)
        began = time.monotonic()
        until(lambda: time.monotonic() - began > seconds or sent.count() == len(ids), seconds=seconds + 30)
    # Leave out the warm-up, and everything sent after the measured time while the courier shuts down.
    ends = sorted(sent.values_list("ended_at", flat=True))[warm:]
    spent = [(end - ends[0]).total_seconds() for end in ends]
    spent = [one for one in spent if one <= seconds]
    rows.exclude(state=DeliveryState.SENT).delete()
    body = request("/hook/yardstick", json.dumps({"text": "message 0", "more": "w" * 300}).encode())
    return {
        "delivered": (len(spent) - 1) / spent[-1] if spent and spent[-1] else 0.0,
        "simulator": at_once(product.sim_port, lambda _number: body, seconds=seconds),
    }


def _waiting(product: Product, count: int) -> list[str]:
    """Accept messages without waking a courier; return the ids of their deliveries."""
    from kernel.clock import database_now
    from notifications.messages.accept import accept_messages
    from notifications.messages.new_message import NewMessage
    from notifications.models import Delivery, DeliveryState

    crowd = people(product)
    # A delivery that is due later rings no bell.
    now = database_now()
    due_at = now + dt.timedelta(milliseconds=1)
    messages = [
        NewMessage(
            owner_id=crowd[number % len(crowd)].id,
            text=f"message {number}",
            channels=(f"c{number // len(crowd) % CHANNELS}",),
            not_before=due_at,
        )
        for number in range(count)
    ]
    for number in range(0, count, _BATCH):
        accept_messages(messages[number : number + _BATCH], now=now)
    ids = list(Delivery.objects.filter(state=DeliveryState.PENDING).order_by("pk").values_list("pk", flat=True))
    assert len(ids) == count, "not all were accepted"
    return ids


BENCH = Bench(
    name="deliveries",
    lines=[
        Line(
            title="deliveries of one courier",
            figure="delivered",
            yardstick="simulator",
            beside=f"the simulator itself, {CALLERS} callers",
            unit="/s",
        )
    ],
    measure=_measure,
)
