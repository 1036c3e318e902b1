"""A state folder on a disk that is full or turns read-only: nothing starts, no report is lost, and the agent
recovers.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.disks import read_only, small_disk, why_no_disk
from tests.skadi.fake_server import FakeServer
from tests.skadi.support import AgentProcess, wait_until

Make = Callable[..., AgentProcess]
QUICK = "pace.FIRST_RETRY = 0.05\npoller.ROOM_LOOK_SECONDS = 0.1\n"
NO_FLOOR = {"SKADI_MIN_FREE_MB": "0"}
WHY_NOT = why_no_disk()

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


class Disk:
    """A disk of one megabyte for an agent's state. `break_down` breaks it in one of two ways, `mend` repairs it."""

    def __init__(self, folder: Path, trouble: str) -> None:
        self.folder = folder
        self.trouble = trouble
        self.troubles = ExitStack()

    def break_down(self) -> None:
        if self.trouble == "read-only":
            self.troubles.enter_context(read_only(self.folder))
            return
        filler = self.folder / "filler"
        self.troubles.callback(filler.unlink)
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            deque(map(file.write, itertools.repeat(bytes(512))), maxlen=0)

    def mend(self) -> None:
        self.troubles.close()


@pytest.fixture(params=["full", "read-only"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with ExitStack() as stack:
        stack.enter_context(small_disk(tmp_path / "disk", megabytes=1))
        disk = Disk(tmp_path / "disk", request.param)
        stack.callback(disk.mend)
        yield disk


@pytest.fixture(params=[1, 2])
def server(request: pytest.FixtureRequest) -> Iterator[FakeServer]:
    """A server of either protocol."""
    fake = FakeServer(hold=True, protocol=request.param)
    yield fake
    fake.stop()


def start(disk: Disk, make_agent: Make, command: str, constants: str = "") -> AgentProcess:
    """An agent whose state is on the disk, with one command, `go`."""
    agent = make_agent(f"shortcuts:\n  - {{short: go, cmd: '{command}'}}\n")
    agent.state = disk.folder
    return agent.start(constants=QUICK + constants, env=NO_FLOOR)


def test_nothing_starts_that_finds_no_room_in_the_journal(
    disk: Disk, server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    agent = start(disk, make_agent, f"echo ran >> {runs}")
    wait_until(lambda: server.waiting)
    disk.break_down()
    server.add("go", "one")
    wait_until(lambda: "job cannot be stored" in agent.log() and "no jobs are taken" in agent.log())
    if server.protocol == 1:  # it would not offer the job again, so it gets a report
        kind, body = wait_until(lambda: server.reports.get("one"))
        assert (kind, "cannot store the job" in body["result"]) == ("fail", True)
    else:
        wait_until(lambda: server.beats)
        assert (server.beats[-1][1], server.acks, server.reports) == ([], [], {})
        server.withdraw("one")
    assert not runs.exists()
    disk.mend()
    server.add("go", "two")
    assert wait_until(lambda: server.reports.get("two"))[0] == "succeed"
    if server.protocol == 2:
        kind, body = server.reports["one"]
        assert (kind, body["offer"]) == ("succeed", 2)
    assert len(runs.read_text().split()) == server.protocol
    assert "Traceback" not in agent.log()


def test_a_command_at_work_is_reported_as_it_ended(
    disk: Disk, server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    runs, go = tmp_path / "runs", tmp_path / "go"
    agent = start(disk, make_agent, f"echo said; echo ran >> {runs}; while [ ! -e {go} ]; do sleep 0.05; done; exit 7")
    server.add("go", "one")
    wait_until(lambda: runs.exists() and "said" in (agent.job_dir("one") / "out.log").read_text())
    disk.break_down()
    go.touch()
    kind, body = wait_until(lambda: server.reports.get("one"))
    assert (kind, body["exit_code"], body["result"]) == ("fail", 7, "run command failed, exit status 7 : said\n")
    assert not (agent.job_dir("one") / "exit.json").exists()
    wait_until(lambda: "no jobs are taken" in agent.log())
    disk.mend()
    server.add("go", "two")
    assert wait_until(lambda: server.reports.get("two"))[1]["exit_code"] == 7
    # Even a start that finds nothing of that run does not run it again.
    agent.signal(15)
    agent.wait()
    agent.start(constants=QUICK, env=NO_FLOOR)
    server.add("go", "three")
    wait_until(lambda: server.reports.get("three"))
    assert server.reports["one"][1]["exit_code"] == 7
    assert len(runs.read_text().split()) == 3
    assert "Traceback" not in agent.log()


def test_a_shim_without_room_starts_nothing_and_says_so(
    disk: Disk, server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    runs, wait = tmp_path / "runs", tmp_path / "wait"
    # Between the last line that the agent writes and the first of the shim.
    late = f"""
import subprocess, sys
from skadi import runner
def slow(command, *arguments, start=subprocess.Popen, **named):
    script = 'while [ ! -e "$0" ]; do sleep 0.02; done; exec "$@"'
    return start(["/bin/sh", "-c", script, {str(wait)!r}, *command], *arguments, **named)
runner.subprocess.Popen = slow
"""
    agent = start(disk, make_agent, f"echo ran >> {runs}", late)
    server.add("go", "one")
    wait_until((agent.job_dir("one") / "shim.log").exists)
    disk.break_down()
    wait.touch()
    kind, body = wait_until(lambda: server.reports.get("one"))
    assert (kind, body["reason"]) == ("fail", "cannot_start")
    assert "the state folder cannot be written" in body["result"]
    assert not runs.exists()
