"""A worker that does no work ends itself; one that works, waits or cannot reach Redis does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kernel.loops import EXIT_CODE
from letserver.celery import app
from letserver.ticks import STALE_AT
from letserver.watchdog import LOOK_EVERY_SECONDS, PATIENCE_SECONDS, Watch
from tests.lanes.lane import Lane
from tests.lanes.services import ROOT, PrivateServer
from tests.waiting import until

_TASK_SECONDS = 60.0


def _stuck_after(
    *,
    waiting: int | None,
    held: int = 0,
    works_every: float = 0.0,
    drops: bool = False,
    look_every: float = LOOK_EVERY_SECONDS,
) -> float | None:
    """After how many seconds of this the worker counts as stuck; None: not within ten minutes."""
    watch = Watch(now=0.0, longest_task_seconds=_TASK_SECONDS)
    now, worked_at = 0.0, 0.0
    while now < 600:
        now += look_every
        if works_every and now - worked_at >= works_every:
            worked_at = now
        dropped_at = now - 1.0 if drops else 0.0
        if watch.look(now, waiting=waiting, held=held, worked_at=worked_at, dropped_at=dropped_at):
            return now
    return None


def test_ticks_that_wait_untaken_make_a_worker_stuck() -> None:
    after = _stuck_after(waiting=3)
    assert after is not None
    assert PATIENCE_SECONDS < after <= PATIENCE_SECONDS + 3 * LOOK_EVERY_SECONDS


@pytest.mark.parametrize("waiting", [0, None])
def test_a_worker_with_nothing_to_take_is_not_stuck(waiting: int | None) -> None:
    assert _stuck_after(waiting=waiting) is None


@pytest.mark.parametrize("waiting", [0, 50, None])
def test_a_worker_that_drops_every_tick_is_stuck_although_it_takes_them(waiting: int | None) -> None:
    after = _stuck_after(waiting=waiting, drops=True)
    assert after is not None
    assert PATIENCE_SECONDS < after <= PATIENCE_SECONDS + 3 * LOOK_EVERY_SECONDS


@pytest.mark.parametrize("drops", [False, True])
def test_a_worker_that_does_work_is_not_stuck_however_many_wait(drops: bool) -> None:
    assert _stuck_after(waiting=50, works_every=PATIENCE_SECONDS - LOOK_EVERY_SECONDS, drops=drops) is None


def test_a_worker_that_holds_tasks_has_the_time_of_the_longest() -> None:
    after = _stuck_after(waiting=3, held=2)
    assert after is not None
    assert after > _TASK_SECONDS + PATIENCE_SECONDS


def test_a_worker_that_slept_with_its_watch_is_given_its_time() -> None:
    assert _stuck_after(waiting=3, look_every=10 * LOOK_EVERY_SECONDS) is None


def test_ticks_must_wait_all_the_while() -> None:
    watch = Watch(now=0.0, longest_task_seconds=_TASK_SECONDS)
    looks = [
        watch.look(float(now), waiting=now // 5 % 5, held=0, worked_at=0.0, dropped_at=0.0) for now in range(5, 300, 5)
    ]
    assert not any(looks)


_WORKER = """
from letserver import watchdog
watchdog.PATIENCE_SECONDS, watchdog.LOOK_EVERY_SECONDS = 2.0, 0.2
from letserver.celery import app
app.worker_main(["worker", "--loglevel", "INFO", "--concurrency", "1", "--without-mingle", "--without-gossip"])
"""


@pytest.mark.long
def test_a_real_worker_that_stops_consuming_ends_and_says_so(lane: Lane, tmp_path: Path) -> None:
    worker = PrivateServer([sys.executable, "-c", _WORKER], folder=ROOT, log=tmp_path / "worker.log")

    def waiting() -> int:
        return int(lane.redis.llen("letserver:celery:celery"))

    def tick() -> None:
        app.send_task("tests.nothing", expires=60)

    try:
        until(lambda: " ready" in worker.log_text(), seconds=60)
        for _ in range(3):  # it takes what comes
            tick()
            until(lambda: waiting() == 0)
        assert worker.process.poll() is None, worker.log_text()
        app.control.cancel_consumer("celery", reply=True, timeout=10)
        tick()
        assert worker.process.wait(30) == EXIT_CODE, worker.log_text()
        assert waiting() == 1
    finally:
        worker.kill()
        app.control.purge()
    assert "action=worker.stuck" in worker.log_text()


@pytest.mark.long
def test_a_real_worker_that_drops_every_tick_ends_and_says_so(lane: Lane, tmp_path: Path) -> None:
    worker = PrivateServer([sys.executable, "-c", _WORKER], folder=ROOT, log=tmp_path / "worker.log")

    def has_ended() -> bool:
        app.send_task("jobs.sweep_keys", headers={STALE_AT: "2026-01-01T00:00:00+00:00"})
        return worker.process.poll() is not None

    try:
        until(lambda: " ready" in worker.log_text(), seconds=60)
        until(has_ended, seconds=60)
        assert worker.process.returncode == EXIT_CODE, worker.log_text()
    finally:
        worker.kill()
        app.control.purge()
    assert "action=worker.stuck" in worker.log_text()
    assert worker.log_text().count("action=tick.stale") == 1
