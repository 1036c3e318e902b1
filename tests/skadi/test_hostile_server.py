"""Nothing that a server says ends the agent, fills its memory, keeps its processor busy or reaches a terminal raw."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.skadi.hostile_server import HostileServer
from tests.skadi.support import AgentProcess, wait_until

Make = Callable[..., AgentProcess]
MOST_RSS_MB = 60.0
MOST_CPU = 0.10
# Every answer is a failure, and the backoff of a real agent would take weeks.
NO_PAUSES = """
pace.back_off = lambda failures, most: 0.0
pace.INTERVAL = pace.LONGEST_RETRY_AFTER = pace.REFUSED_RETRY = pace.FIRST_RETRY = 0.0
from skadi import beat, logpump
beat.LONGEST_HOLD = beat.SHORTEST_HOLD = 0
beat.UNSUPPORTED_RETRY = logpump.CHUNK_SECONDS = logpump.LOOK_SECONDS = 0.01
"""
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]")
ENTRIES = "shortcuts:\n  - {short: count, cmd: 'true'}\n"


def peak_rss_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found.group(1)) / 1024


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def hostile() -> Iterator[Callable[..., HostileServer]]:
    made: list[HostileServer] = []

    def make(most: int, *kinds: str) -> HostileServer:
        made.append(HostileServer(11, most, kinds))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def check_life(agent: AgentProcess) -> str:
    """Check that the agent lives, is small and has written clean lines. Return its log."""
    assert agent.process is not None
    assert agent.process.poll() is None, agent.log()[-3000:]
    assert peak_rss_mb(agent.pid) < MOST_RSS_MB
    log = agent.log()
    assert "has died" not in log
    assert [line for line in log.splitlines() if "Traceback" in line][:3] == []
    assert [line for line in re.split("\n", log) if RAW.search(line)][:3] == []
    return log


def fuzz(
    hostile: Callable[..., HostileServer],
    make_agent: Make,
    capsys: pytest.CaptureFixture[str],
    most: int,
    seconds: float,
) -> None:
    server = hostile(most)
    agent = make_agent(ENTRIES, top="log_messages: true\n", server=server.url).start(constants=NO_PAUSES)
    try:
        wait_until(server.last.is_set, seconds, f"{most} answers")
    finally:
        with capsys.disabled():
            print(
                f"\n{server.counts.total()} answers: {dict(server.counts)}\ncalls: {dict(server.calls.most_common(9))}"
            )
    log = check_life(agent)
    with capsys.disabled():
        print(
            f"peak RSS {peak_rss_mb(agent.pid):.0f} MB, {cpu_seconds(agent.pid):.0f} s of processor, "
            f"{len(log)} bytes of log"
        )
    assert len(server.counts) >= 20
    assert {"GET /agent/job", "PUT /agent/jobs/ID/running", "POST /agent/beat"} <= set(server.calls)
    # The agent still works, and stops as ever.
    agent.signal(15)
    agent.signal(15)
    assert agent.wait(20) == 0


def test_two_thousand_answers_do_not_end_the_agent(
    hostile: Callable[..., HostileServer], make_agent: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz(hostile, make_agent, capsys, most=2000, seconds=100)


@pytest.mark.long
@pytest.mark.timeout(4000)
def test_a_hundred_thousand_answers_do_not_end_the_agent(
    hostile: Callable[..., HostileServer], make_agent: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz(hostile, make_agent, capsys, most=100_000, seconds=3600)


def measure(
    hostile: Callable[..., HostileServer],
    make_agent: Make,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    *kinds: str,
) -> None:
    """Run an agent with its real pauses, and check the share of a processor that it takes."""
    server = hostile(10**9, *kinds)
    agent = make_agent(ENTRIES, server=server.url).start()
    wait_until(lambda: server.calls.total() >= 3)
    began, before = time.monotonic(), cpu_seconds(agent.pid)
    wait_until(lambda: time.monotonic() - began > seconds, seconds + 5)
    share = (cpu_seconds(agent.pid) - before) / (time.monotonic() - began)
    with capsys.disabled():
        print(f"\n{share:.1%} of a processor over {seconds:.0f} s, {server.counts.total()} answers")
    check_life(agent)
    assert share < MOST_CPU


def test_the_agent_backs_off_from_a_hostile_server(
    hostile: Callable[..., HostileServer], make_agent: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(hostile, make_agent, capsys, 2, "endless_continue", "endless_trailers", "tiny_chunks", "many_objects")


@pytest.mark.long
@pytest.mark.timeout(700)
def test_the_agent_backs_off_for_ten_minutes(
    hostile: Callable[..., HostileServer], make_agent: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(hostile, make_agent, capsys, 600)
