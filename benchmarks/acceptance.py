"""POST /messages by sixteen callers, one channel per message. No courier runs, so the deliveries stay pending."""

from __future__ import annotations

import json
import time

from benchmarks.load import CALLERS, at_once, request
from benchmarks.people import CHANNELS, people
from benchmarks.product import Product
from benchmarks.table import Bench, Line, Round

_SHORTEST_SECONDS = 0.2


def _measure(product: Product, seconds: float) -> Round:
    from notifications.models import Delivery, DeliveryState

    crowd = people(product)

    def message(number: int) -> bytes:
        one = crowd[number % len(crowd)]
        body = json.dumps({"text": f"message {number}", "channels": [f"c{number // len(crowd) % CHANNELS}"]}).encode()
        return request("/messages", body, Authorization=f"Bearer {one.token}")

    body = json.dumps({"text": "message 0", "channels": ["c0"]}).encode()
    bare = request("/bare", body)
    found = {
        "accepted": at_once(product.web.port, message, seconds=seconds, wanted=201),
        "bare": at_once(product.web.port, lambda _number: bare, seconds=seconds),
        "commits": _commits(seconds),
    }
    # The next round must start with empty channels too.
    Delivery.objects.filter(state=DeliveryState.PENDING).delete()
    return found


def _commits(seconds: float) -> float:
    """Return how many inserts a second one connection commits, one row each."""
    from django.db import connection, transaction

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_row (number INTEGER PRIMARY KEY, words VARCHAR(200))")
        began, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < max(seconds / 2, _SHORTEST_SECONDS):
            with transaction.atomic():
                cursor.execute("INSERT INTO bench_row (words) VALUES (%s)", ["w" * 200])
            count += 1
    return count / spent


BENCH = Bench(
    name="acceptance",
    lines=[
        Line(
            title=f"messages accepted, {CALLERS} callers",
            figure="accepted",
            yardstick=yardstick,
            beside=beside,
            unit="/s",
        )
        for yardstick, beside in (
            ("bare", f"a bare Django view, {CALLERS} callers"),
            ("commits", "INSERT and COMMIT, one connection"),
        )
    ],
    measure=_measure,
)
