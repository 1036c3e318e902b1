"""However `make up` ends, nothing of it is left, and the next start has the same owner, token and agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.up.conftest import Start
from tests.waiting import until


def test_ctrl_c_ends_everything_and_the_next_start_is_the_same(start: Start, tmp_path: Path) -> None:
    first = start(tmp_path / "data").wait_until_ready()
    poll_that_waits = first.find("-m skadi")
    assert poll_that_waits
    assert first.press_ctrl_c() < 5
    assert "Traceback" not in first.output()

    second = start(tmp_path / "data").wait_until_ready()
    assert second.credentials == first.credentials
    assert second.call("GET", "/me")[0] == 200
    assert second.paste_the_printed_command()["status"] == "succeeded"


@pytest.mark.parametrize("victim", ["supervisor", "make"])
def test_nothing_survives_kill_9(start: Start, tmp_path: Path, victim: str) -> None:
    instance = start(tmp_path / "data").wait_until_ready()
    # The worker, its two children and the courier: from here on the children have asked to end with their parent.
    until(lambda: len(instance.find(" worker ")) == 4, seconds=30)
    instance.kill(instance.supervisor if victim == "supervisor" else instance.make.pid)
    until(lambda: not instance.processes(), seconds=6)


def test_first_start_killed_before_its_end_is_repaired_by_the_next(start: Start, tmp_path: Path) -> None:
    first = start(tmp_path / "data").wait_until_ready()
    instance_token = first.token
    first.kill(first.supervisor)
    until(lambda: not first.processes(), seconds=6)
    # As if it had been killed between the database's commit and the file.
    (tmp_path / "data" / "credentials").unlink()
    second = start(tmp_path / "data").wait_until_ready()
    assert second.token != instance_token
    assert second.paste_the_printed_command()["status"] == "succeeded"
    assert json.loads((tmp_path / "data" / "credentials").read_text())["user_token"] == second.token
