"""The product under test: its own web server, Redis and SQLite, with the simulator as the platforms."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import django

from devtools.simulator.client import Simulator
from tests.lanes.lane import NO_LIMITS, SQLITE, Lane
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT, PrivateServer
from tests.waiting import until

_READY_SECONDS = 60.0
_QUIET = ("--without-mingle", "--without-gossip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """The running processes. Django of this process uses the same database and Redis."""

    web: LiveServer
    sim: Simulator

    @property
    def sim_port(self) -> int:
        """The port of the simulator."""
        port = urlsplit(self.sim.base).port
        assert port is not None
        return port

    @contextmanager
    def courier(self) -> Iterator[None]:
        """Run a courier as `make up` does; enter when it is ready."""
        threads = self.web.environment["LETSERVER_COURIER_THREADS"]
        lanes = ["--queues", "deliveries", "--pool", "threads", "--concurrency", threads, "-n", "courier@%h"]
        with self._celery("worker", *_QUIET, *lanes, says=" ready."):
            yield

    @contextmanager
    def sweeps(self) -> Iterator[None]:
        """Run the sweeps' worker and beat as `make up` does; enter when they are ready."""
        with (
            self._celery("worker", *_QUIET, "--concurrency", "2", says=" ready."),
            self._celery("beat", "--pidfile", "", says="is starting"),
        ):
            yield

    @contextmanager
    def _celery(self, kind: str, *words: str, says: str) -> Iterator[None]:
        log = self.web.folder / f"{kind}.log"
        log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "celery", "-A", "letserver", kind, "--loglevel", "INFO", *words]
        process = PrivateServer(command, folder=ROOT, log=log, environment=self.web.environment)
        try:
            until(lambda: says in process.log_text(), seconds=_READY_SECONDS)
            yield
        finally:
            process.stop()


@contextmanager
def running() -> Iterator[Product]:
    """Start everything, and end it."""
    with ExitStack() as stack:
        lane = Lane(SQLITE)
        stack.callback(lane.close)
        sim = stack.enter_context(Simulator.start(seed=1))
        web = LiveServer(
            lane,
            "product",
            gateway=True,
            **{
                **sim.settings(),
                **NO_LIMITS,
                "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
                "LETSERVER_SECRET_KEY": "a key that signs nothing outside of this run of the benchmarks",
                "LETSERVER_MERGE_SECONDS": "0",
                "LETSERVER_OUTBOUND_HTTP": "on",
                "LETSERVER_OUTBOUND_ALLOW": "127.0.0.0/8",
            },
        )
        stack.callback(web.close)
        os.environ.update(web.environment)
        django.setup()
        yield Product(web=web, sim=sim)
