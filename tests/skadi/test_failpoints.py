"""At every failpoint an agent or its shim is killed; no command starts twice, and every job gets its report."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skadi.failpoints import POINTS, VARIABLE
from tests.skadi.fake_server import FakeServer
from tests.skadi.support import AgentProcess, wait_until

_KILLS = 20
_SIDE_BY_SIDE = 4  # agents, each with its own server: they wait most of the time
_SECONDS = 60.0
_QUICK = "pace.FIRST_RETRY = 0.05\nfrom skadi import logpump\nlogpump.CHUNK_SECONDS = 0.1\n"
_OF_THE_SHIM = ("started.", "command.", "exit.")


class _Station:
    """A server that always has jobs, and its agent."""

    def __init__(self, home: Path, point: str) -> None:
        home.mkdir(mode=0o700)
        self.point, self.told, self.ran = point, home / "told", home / "ran"
        self.server = FakeServer(hold=True, protocol=2)
        self.server.ack_s = 0.3
        until_canceled = "while :; do sleep 0.05; done" if point.startswith("cancel") else "echo done"
        entry = f"shortcuts:\n  - {{short: work, cmd: 'echo $SKADI_JOB_ID >> {self.ran}; {until_canceled}'}}\n"
        self.agent = AgentProcess(home, self.server.url, entry)
        self.jobs: list[str] = []

    def kill(self, kills: int) -> int:
        """Kill the agent, or its shims, this many times; then let an agent without a failpoint finish the jobs."""
        if self.point.startswith(_OF_THE_SHIM):
            self._start(1)
            for _ in range(kills):
                self._submit()
            wait_until(lambda: self.landed() >= kills, _SECONDS, f"{self.landed()} kills\n{self.agent.log()}")
            self.agent.signal(signal.SIGKILL)
            self.agent.wait()
        else:
            for at in range(kills):
                # A beat is held and each job interrupts it: only the last job's is answered.
                self._kill_once(1 if self.point.startswith("beat") else at % 2 + 1)
        self.agent.start(constants=_QUICK)
        wait_until(self._has_every_end, _SECONDS, f"every end\n{self.agent.log()}")
        return self.landed()

    def _kill_once(self, number: int) -> None:
        while len(self.server.jobs) < number:
            self._submit()
        if self.point.startswith("forget"):
            self.server.ack_replies.extend([409] * number)
        self._start(number)
        wait_until(self._is_over, _SECONDS, self.agent.log())
        assert self.agent.wait() == -signal.SIGKILL, self.agent.log()
        self.server.ack_replies.clear()

    def _submit(self) -> None:
        self.jobs.append(self.server.add("work"))

    def _start(self, number: int) -> None:
        self.agent.start(constants=_QUICK, env={VARIABLE: f"{self.point}:{number}:{self.told}"})

    def _is_over(self) -> bool:
        self._cancel_all()
        assert self.agent.process is not None
        return self.agent.process.poll() is not None

    def _has_every_end(self) -> bool:
        self._cancel_all()
        return set(self.jobs) <= set(self.server.reports)

    def _cancel_all(self) -> None:
        """Cancel the running job, for a point that is about a cancel."""
        if self.point.startswith("cancel"):
            for job, offered in list(self.server.offered.items()):
                if offered.status == "running" and not offered.cancel:
                    self.server.cancel(job)

    def landed(self) -> int:
        """Return how many processes have died at the point."""
        return len(self.told.read_text().splitlines()) if self.told.exists() else 0

    def broken_promises(self) -> list[str]:
        """Return the differences between the runs and the server's reports."""
        ran = self.ran.read_text().split() if self.ran.exists() else []
        found = [f"{job} ran {ran.count(job)} times" for job in set(ran) if ran.count(job) > 1]
        for job, (kind, body) in self.server.reports.items():
            if kind == "succeed" and job not in ran:
                found.append(f"{job}: told as done, and it never ran")
            if kind == "fail" and body.get("reason") not in ("interrupted", "canceled"):
                found.append(f"{job}: {body}")
        if "Traceback" in self.agent.log():
            found.append(self.agent.log())
        return found

    def close(self) -> None:
        """Stop the agent and the server."""
        self.agent.stop()
        self.server.stop()


def _kill(home: Path, point: str, kills: int) -> int:
    station = _Station(home, point)
    try:
        landed = station.kill(kills)
        assert station.broken_promises() == []
        return landed
    finally:
        station.close()


def test_a_kill_before_a_report_is_stored_loses_no_end(tmp_path: Path) -> None:
    assert _kill(tmp_path / "one", "report.before_write", 1) == 1


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
def test_twenty_kills_at_every_point_start_nothing_twice(
    point: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    kills = _KILLS // _SIDE_BY_SIDE
    homes = [tmp_path / str(number) for number in range(_SIDE_BY_SIDE)]
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as stations:
        landed = sum(stations.map(lambda home: _kill(home, point, kills), homes))
    tell(f"failpoint skadi {point}: {landed} kills")
    assert landed == _KILLS
