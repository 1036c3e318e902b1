"""Addresses that hang, drip and lie delay only their own callbacks (F27)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connection

from jobs.life.callbacks import tell_callbacks
from jobs.models import Job
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove
from kernel import failpoints
from kernel.clock import database_now
from notifications.deliveries import courier
from notifications.deliveries.signing import secrets_of
from notifications.models import Delivery
from tests.factories import make_agent, make_job
from tests.notifications.hostile import HOSTILE, Receivers

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[[list[str]], Receivers]


@pytest.fixture
def start(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start receivers that may be called; no lane of this process is known to be fast yet."""
    settings.OUTBOUND_HTTP, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]
    monkeypatch.setattr(courier, "_lanes", courier.new_lanes())
    made: list[Receivers] = []

    def begin(behaviours: list[str]) -> Receivers:
        made.append(Receivers(behaviours))
        return made[-1]

    yield begin
    for receivers in made:
        receivers.close()


def _carry(delivery_id: str) -> None:
    try:
        courier.carry(delivery_id)
    finally:
        connection.close()  # as a worker does after each task


def _callbacks(job: Job, url: str, numbers: Iterator[int], count: int = 1) -> list[str]:
    """Write callbacks as moves of a job do; return their ids."""
    job.callback = url
    for _ in range(count):
        job.events_count = next(numbers)
        moved = JobMove(job=job, move=Move.PROGRESS, after=JobStatus.RUNNING, actor="test")
        tell_callbacks([moved], database_now())
    return list(Delivery.objects.filter(target=url).order_by("-pk").values_list("pk", flat=True)[:count])


def _good_seconds(receivers: Receivers, *, each: int, good: int, rest: float) -> list[float]:
    """Ring `each` callbacks of every hostile one at once, then the good ones; return how long each of those took."""
    agent = make_agent()
    secrets_of(agent.owner_id)
    job, numbers = make_job(agent), itertools.count(100)
    pool = ThreadPoolExecutor(configured.COURIER_THREADS)
    began: dict[str, float] = {}
    try:
        for ids in zip(*(_callbacks(job, url, numbers, each) for url in receivers.hostile), strict=True):
            for delivery_id in ids:
                pool.submit(_carry, delivery_id)
        for _ in range(good):
            (delivery_id,) = _callbacks(job, receivers.good, numbers)
            began[delivery_id] = time.monotonic()
            pool.submit(_carry, delivery_id)
            time.sleep(rest)
        deadline = time.monotonic() + 60
        while len(receivers.heard) < good and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        receivers.close()
        pool.shutdown(cancel_futures=True)
    assert set(receivers.heard) == set(began)
    return sorted(receivers.heard[delivery_id] - moment for delivery_id, moment in began.items())


def _percentile(values: list[float], part: float) -> float:
    return values[min(len(values) - 1, int(len(values) * part))]


@pytest.mark.long
@pytest.mark.parametrize("mix", [list(HOSTILE), ["hang"]], ids=["each kind", "all hang"])
def test_twenty_hostile_addresses_do_not_hold_up_a_good_one(
    start: Start, mix: list[str], tell: Callable[[str], None]
) -> None:
    receivers = start(list(itertools.islice(itertools.cycle(mix), 20)))
    seconds = _good_seconds(receivers, each=10, good=300, rest=0.1)
    p50, p99 = _percentile(seconds, 0.5), _percentile(seconds, 0.99)
    tell(
        f"20 hostile addresses ({', '.join(mix)}), {configured.COURIER_THREADS} threads: of 300 callbacks to a good "
        f"one half came within {p50:.3f} s, 99 % within {p99:.3f} s, the last within {seconds[-1]:.3f} s"
    )
    assert p99 <= 3


def test_what_is_slow_leaves_a_quarter_of_the_threads_to_what_is_not() -> None:
    lanes = courier.Lanes(slow_limit=2)

    def enter(lane: str, name: str = "") -> courier.Slot | None:
        return lanes.take_slot(lane, 2, name or lane)

    known = enter("known")
    assert known is not None
    assert lanes.pass_on(known, seconds=0.1) is None
    # No lane is known to be fast: one slot each, and two of them together.
    slow = [enter("a"), enter("a", "a2"), enter("b"), enter("c"), enter("d")]
    assert [slot and slot.delivery_id for slot in slow] == ["a", None, "b", None, None]
    # A fast lane has two slots.
    quick = [enter("known", name) for name in ("k1", "k2", "k3")]
    assert [slot and slot.delivery_id for slot in quick] == ["k1", "k2", None]
    assert enter("a", "a3") is None

    def leave(slot: courier.Slot | None, seconds: float) -> courier.Slot | None:
        assert slot is not None
        return lanes.pass_on(slot, seconds=seconds)

    # A freed slot goes to the next delivery, one lane after the other.
    following = leave(slow[0], 10)
    assert following is not None
    assert following.delivery_id == "a2"
    following = leave(following, 10)
    assert following is not None
    assert following.delivery_id == "c"
    following = leave(quick[0], 0.1)
    assert following is not None
    assert following.delivery_id == "k3"
    following = leave(slow[2], 10)
    assert following is not None
    assert following.delivery_id == "d"
    # A fast lane whose delivery took long is slow from then on.
    assert leave(quick[1], 10) is None
    assert enter("known", "k4") is None


def test_one_that_hangs_holds_up_itself_alone(start: Start) -> None:
    receivers = start(["hang", "410", "redirect", "100 MB"])
    seconds = _good_seconds(receivers, each=1, good=5, rest=0.02)
    assert seconds[-1] < 3


def test_after_an_error_in_a_courier_what_waits_behind_is_delivered(start: Start) -> None:
    receivers = start([])
    agent = make_agent()
    secrets_of(agent.owner_id)
    job, numbers = make_job(agent), itertools.count(100)
    first, second = _callbacks(job, receivers.good, numbers, 2)
    lane = Delivery.objects.get(pk=first).lane
    held = courier._lanes.take_slot(lane, 2, "another")
    _carry(first)  # has no slot, and waits
    assert held is not None
    courier._lanes.free(held)
    failpoints.arm("raise:courier.before_delivery:1")
    try:
        _carry(second)  # takes the slot for the first, fails, and goes on with its own
    finally:
        failpoints.arm("")
    assert set(receivers.heard) == {second}
    _carry(first)
    assert set(receivers.heard) == {first, second}
