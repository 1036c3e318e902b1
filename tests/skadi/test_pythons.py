"""The agent runs under every Python from 3.8 that this machine has."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.skadi.fake_server import FakeServer
from tests.skadi.support import SAMPLE, AgentProcess, other_pythons, wait_until

PYTHONS = other_pythons()


def version_of(python: str) -> str:
    return subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]


@pytest.mark.parametrize("python", PYTHONS)
def test_a_short_life(
    server: FakeServer,
    make_agent: Callable[..., AgentProcess],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    python: str,
) -> None:
    entries = (
        SAMPLE.replace(
            "shortcuts:\n",
            "shortcuts:\n  - {short: slow, cmd: 'echo before; sleep 30', timeout: 500ms, output: 1KiB}\n"
            "  - {short: many, cmd: seq 1 2000, output: 1KiB}\n",
        )
        + "  - {name: sh, temp: \"true && echo '<%s>'\", shell: true}\n"
    )
    agent = make_agent(entries).start(python=python)
    wanted = {
        "Hi 傻瓜": ("succeed", "I am not 傻瓜!\n"),
        "sh '$(id)'": ("succeed", "<$(id)>\n"),
        "free; id": ("fail", "unsupported command: free; id"),
        "slow": ("fail", "run command failed, timeout after 0.5s : before\n"),
    }
    jobs = {message: server.add(message) for message in [*wanted, "help", "many", "lsroot"]}
    wait_until(lambda: len(server.reports) == len(jobs), 20)
    for message, (kind, result) in wanted.items():
        assert (server.reports[jobs[message]][0], server.reports[jobs[message]][1]["result"]) == (kind, result)
    assert "\n\nCommands:\n - free \n\n" in server.reports[jobs["help"]][1]["result"]
    assert server.reports[jobs["many"]][1]["truncated"]
    assert "tmp" in server.reports[jobs["lsroot"]][1]["result"]
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    assert "Traceback" not in agent.log()
    with capsys.disabled():
        print(f"\nagent ran under Python {version_of(python)} ({python})")


def test_the_oldest_supported_python_is_tried_where_it_is_found() -> None:
    assert PYTHONS, "there is not even the Python that runs this test"
