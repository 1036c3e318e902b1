"""However `make up` ends, nothing of it is left, and the next start has the same owner, token and agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.up.conftest import Start
from tests.up.instance import Instance
from tests.waiting import until


@pytest.mark.timeout(240)
def test_however_it_ends_nothing_is_left_and_the_next_start_is_the_same(start: Start, tmp_path: Path) -> None:
    """Three starts on one folder end by Ctrl-C, by a kill -9 of make and by a kill -9 of the supervisor.

    The path of the folder is too long for a Unix socket.
    """
    data = tmp_path / ("深 folder " + "x" * 60) / ("y" * 60)
    assert len(str(data).encode()) > 107
    data.parent.mkdir()
    first = start(data).wait_until_ready()
    poll_that_waits = first.find("-m skadi")
    assert poll_that_waits
    assert first.press_ctrl_c() < 5
    assert "Traceback" not in first.output()

    second = start(data).wait_until_ready()
    assert second.credentials == first.credentials
    assert second.call("GET", "/me")[0] == 200
    assert second.paste_the_printed_command()["status"] == "succeeded"
    _kill(second, second.make.pid)

    # As if the first start had been killed between the database's commit and the file.
    (data / "credentials").unlink()
    third = start(data).wait_until_ready()
    assert third.token != second.token
    assert third.paste_the_printed_command()["status"] == "succeeded"
    assert json.loads((data / "credentials").read_text())["user_token"] == third.token
    _kill(third, third.supervisor)


def _kill(instance: Instance, victim: int) -> None:
    """End one process of it with -9, and wait until all the others have ended."""
    # The worker, its two children and the courier: from here on the children have asked to end with their parent.
    until(lambda: len(instance.find(" worker ")) == 4, seconds=30)
    instance.kill(victim)
    until(lambda: not instance.processes(), seconds=6)
