"""The timer habit: poll a page, and notify a WeCom group only when the page has something new.

`make up`, the agent and the schedule are real; the page and the platform are simulated, and the interval is a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.simulator.client import Entry, Simulator
from tests.lanes.services import ROOT
from tests.up.instance import Instance
from tests.waiting import until

_ROBOT = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"
_SCRIPT = """\
#!/bin/sh
# Its first line is the exit code, the rest what the page shows.
exec < "$(dirname "$0")/page"
read -r code
cat
exit "$code"
"""
_AGENT_FILE = """\
server: {server}
token: {token}
shortcuts:
  - short: seats
    cmd: "{script}"
"""
_RUN_SECONDS = 30.0


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """The platforms."""
    with Simulator.start(seed=43) as simulator:
        yield simulator


@pytest.fixture
def product(sim: Simulator, tmp_path: Path) -> Iterator[Instance]:
    """An instance of `make up`."""
    instance = Instance(tmp_path / "data", LETSERVER_LANGUAGE="en", **sim.settings())
    try:
        yield instance.wait_until_ready()
    finally:
        instance.end()


@pytest.fixture
def agent(product: Instance, tmp_path: Path) -> Iterator[Path]:
    """A real agent that may only run the script; returns the page that the script reads."""
    script, config, page = tmp_path / "look.sh", tmp_path / "skadi.yml", tmp_path / "page"
    script.write_text(_SCRIPT, encoding="utf-8")
    script.chmod(0o700)
    status, made = product.call("POST", "/agents", {"name": "home"})
    assert status == 201, made
    server = f"http://127.0.0.1:{product.port}"
    config.write_text(_AGENT_FILE.format(server=server, token=made["token"], script=script), encoding="utf-8")
    config.chmod(0o600)
    process = subprocess.Popen(
        [sys.executable, "-m", "skadi", "--config", str(config)],
        cwd=ROOT,
        env={**os.environ, "SKADI_STATE_DIR": str(tmp_path / "state")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield page
    process.terminate()
    process.wait(20)


class _Habit:
    """The schedule, the page that it polls and the group that it notifies."""

    def __init__(self, product: Instance, sim: Simulator, page: Path) -> None:
        self._product = product
        self._sim = sim
        self._page = page

    def begin(self, page: str) -> None:
        """Create the robot's channel and the schedule for a page."""
        # The agent's coming online is a notice too; let it be sent before there is a group.
        until(lambda: all(one["online"] for one in self._agents()), seconds=_RUN_SECONDS)
        assert self._sim.robot("wecom", _ROBOT)
        channel = {"name": "group", "driver": "wecom_robot", "settings": {"key": _ROBOT}}
        status, said = self._product.call("POST", "/channels", channel)
        assert status == 201, said
        self.show(page)
        schedule = {
            "name": "少年宫",
            "agent": "home",
            "message": "seats",
            "cron": "@every 1s",
            "notify": {
                "when": "change",
                "max_tries": 3,
                "mention": ["all", "13800000000"],
                "channels": ["group"],
            },
        }
        status, said = self._product.call("POST", "/schedules", schedule)
        assert status == 201, said

    def runs(self, count: int) -> None:
        """Wait until `count` more runs have ended."""
        wanted = self._ended() + count
        until(lambda: self._ended() >= wanted, seconds=_RUN_SECONDS)

    def sees(self, page: str) -> None:
        """Change the page, and wait until a run has ended that must have read the new one."""
        self.show(page)
        self.runs(2)

    def show(self, page: str, code: int = 0) -> None:
        new = self._page.with_suffix(".new")
        new.write_text(f"{code}\n{page}", encoding="utf-8")
        new.replace(self._page)

    def _ended(self) -> int:
        return sum(job["status"] in ("succeeded", "failed") for job in self._jobs())

    def _agents(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._product.call("GET", "/agents")[1]["items"]
        return items

    def _jobs(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._product.call("GET", "/jobs?agent=home&limit=100")[1]["items"]
        return items

    def told(self, count: int) -> list[Entry]:
        """Wait for `count` messages in the group, and return them."""
        until(lambda: len(self._shown()) >= count, seconds=_RUN_SECONDS)
        return self._shown()

    def _shown(self) -> list[Entry]:
        return [one for one in self._sim.transcript(f"wecom:{_ROBOT}") if one["via"] == "robot"]


@pytest.mark.long
def test_a_polled_page_is_reported_only_when_it_changes(product: Instance, sim: Simulator, agent: Path) -> None:
    habit = _Habit(product, sim, agent)
    habit.begin("Sat 09:00 2 seats\n")
    # A baseline and three runs with the same output send nothing.
    habit.runs(4)
    assert [one["text"] for one in habit.told(0)] == []
    # A new line is one message with the line and the mentions.
    habit.show("Sat 09:00 2 seats\nSun 10:00 1 seat\n")
    (news,) = habit.told(1)
    assert "+ Sun 10:00 1 seat" in news["text"]
    assert "Sat 09:00" not in news["text"]
    assert news["mentions"] == ["@all", "13800000000"]
    # A blank page is not a change, and neither is the same page after it.
    habit.sees("\n \n")
    habit.sees("Sat 09:00 2 seats\nSun 10:00 1 seat\n")
    assert habit.told(1) == [news]
    # Three or more failures are one notice; the success after them is another.
    habit.show("no connection\n", code=1)
    _news, failure = habit.told(2)
    assert "failed 3 times in a row" in failure["text"]
    habit.runs(2)
    assert habit.told(2) == [news, failure]
    habit.show("Sat 09:00 2 seats\nSun 10:00 1 seat\n")
    *_before, recovery = habit.told(3)
    assert "works again" in recovery["text"]
    habit.runs(1)
    assert habit.told(3) == [news, failure, recovery]
    assert all("少年宫" in one["text"] for one in habit.told(3))
