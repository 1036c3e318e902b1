"""Thousands of delayed jobs with real workers and beats: none fires early, twice or never."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT, PrivateServer
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

_numbers = itertools.count(1)
_READY_SECONDS = 60.0
_STOPS = 20


class Tickers:
    """Its own database and Redis, and beats and workers that release due jobs."""

    def __init__(self, lane: Lane, name: str) -> None:
        self._server = LiveServer(lane, name, gateway=True)
        self._server.stop()
        self.tickers: list[tuple[PrivateServer, PrivateServer]] = []

    def start(self, count: int) -> None:
        """Start more tickers, each a beat and a worker with two processes as in the product."""
        for number in range(count):
            words = ["--concurrency", "2", "--without-mingle", "--without-gossip", "-n", f"sweeps{number}@%h"]
            worker = self._process("worker", *words)
            beat = self._process("beat", "--pidfile", "")
            self.tickers.append((worker, beat))
        for worker, _beat in self.tickers:
            until(lambda worker=worker: " ready." in worker.log_text(), seconds=_READY_SECONDS)

    def signal(self, number: int, what: signal.Signals) -> None:
        """Send a signal to every process of one ticker."""
        for process in self.tickers[number]:
            os.killpg(process.process.pid, what)

    def ask(self, *words: object) -> Any:
        """Run `delayed_rows.py` and return its output."""
        command = [sys.executable, "-m", "tests.faults.delayed_rows", *map(str, words)]
        done = subprocess.run(
            command, cwd=ROOT, env=self._server.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def close(self) -> None:
        """End everything."""
        for number, pair in enumerate(self.tickers):
            self.signal(number, signal.SIGCONT)
            for process in pair:
                process.kill()
        self._server.close()

    def _process(self, kind: str, *words: str) -> PrivateServer:
        command = [sys.executable, "-m", "celery", "-A", "letserver", kind, "--loglevel", "INFO", *words]
        log = self._server.folder / f"{kind}-{next(_numbers)}.log"
        return PrivateServer(command, folder=ROOT, log=log, environment=self._server.environment)


@pytest.fixture
def tickers(lane: Lane) -> Iterator[Tickers]:
    """No ticker runs yet."""
    made = Tickers(lane, f"delays{next(_numbers)}")
    yield made
    made.close()


def _finish(tickers: Tickers, *, seconds: float) -> dict[str, Any]:
    """Wait until all have fired and return the report."""
    until(lambda: tickers.ask("count") == 0, seconds=seconds)
    report: dict[str, Any] = tickers.ask("report")
    return report


def test_a_hundred_thousand_in_ten_minutes(tickers: Tickers, lane: Lane, tell: Callable[[str], None]) -> None:
    count, span = 100_000, 600.0
    tickers.start(1)
    # All rows are inserted before the first is due, so that no row is late because of its insert.
    left = tickers.ask("fill", count, 120.0, span)
    assert left > span, "the machine was too slow to make them in time"
    # Do not poll meanwhile: another process for ten minutes would slow two cores down.
    time.sleep(left)
    report = _finish(tickers, seconds=300)
    tell(f"100,000 delayed jobs in ten minutes, {lane.name}: {report}")
    assert (report["fired"], report["jobs"], report["double"], report["early"], report["found"]) == (
        count,
        count,
        0,
        0,
        [],
    )
    assert report["p50"] <= 0.5
    assert report["p99"] <= 2.0


def test_three_beats_and_a_stopped_leader_fire_everything_once(
    tickers: Tickers, lane: Lane, tell: Callable[[str], None]
) -> None:
    """The leading ticker is stopped with the rows that it holds while the others continue; then it continues."""
    count, span = 5_000, 100.0
    tickers.start(3)
    tickers.ask("fill", count, 10.0, span)
    for stop in range(_STOPS):
        leader = stop % len(tickers.tickers)
        tickers.signal(leader, signal.SIGSTOP)
        time.sleep(3.0)
        tickers.signal(leader, signal.SIGCONT)
        time.sleep(2.0)
    report = _finish(tickers, seconds=120)
    tell(f"5,000 delayed jobs, three tickers, {_STOPS} stops of one, {lane.name}: {report}")
    assert (report["fired"], report["jobs"], report["double"], report["early"], report["found"]) == (
        count,
        count,
        0,
        0,
        [],
    )
