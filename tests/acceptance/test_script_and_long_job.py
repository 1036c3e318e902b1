"""A script runs a command on another machine; a long command keeps its agent and its lease; a cancel ends its tree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import LEASE_SECONDS
from tests.lanes.services import ROOT
from tests.up.instance import Instance
from tests.waiting import until

_ENTRIES = """\
server: {server}
token: {token}
shortcuts:
  - {{short: build, cmd: "for n in 1 2 3; do echo step $n; sleep 1; done; exit 7", shell: true}}
  - {{short: long, cmd: "echo begun; sleep {long}; echo done"}}
  - {{short: tree, cmd: "setsid sleep 60 & sleep 60", shell: true}}
"""


def _long_seconds(request: pytest.FixtureRequest) -> int:
    return 45 if request.config.getoption("markexpr") == "long" else 9


@pytest.fixture(scope="module")
def agent(
    product: Instance, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """A real agent with its own commands."""
    folder = tmp_path_factory.mktemp("worker")
    status, agent = product.call("POST", "/agents", {"name": "worker"})
    assert status == 201
    config = folder / "skadi.yml"
    config.touch(0o600)
    config.write_text(
        _ENTRIES.format(server=f"http://127.0.0.1:{product.port}", token=agent["token"], long=_long_seconds(request))
    )
    environment = {**os.environ, "SKADI_STATE_DIR": str(folder / "state"), "SKADI_DIE_WITH_PARENT": "1"}
    with (folder / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "skadi", "--config", str(config)], cwd=ROOT, env=environment, stderr=log
        )
    try:
        until(lambda: product.call("GET", f"/agents/{agent['id']}")[1]["online"], seconds=20)
        yield agent
    finally:
        process.terminate()
        process.wait(30)


def _skadi_run(product: Instance, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "SKADI_TOKEN": product.token}
    command = [sys.executable, "-u", "-m", "skadi", "run", *words, "--server", f"http://127.0.0.1:{product.port}"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_script_sees_the_log_as_it_comes_and_gets_the_exit_code(product: Instance, agent: dict[str, Any]) -> None:
    with _skadi_run(product, "worker", "build") as script:
        assert script.stdout is not None
        seen: list[tuple[str, float]] = [(line, time.monotonic()) for line in script.stdout]
        assert script.wait(30) == 7
    assert [line for line, _ in seen if line.startswith("step")] == ["step 1\n", "step 2\n", "step 3\n"]
    assert seen[-1][1] - seen[0][1] > 0.5, "it came all at once"


def test_a_long_job_keeps_its_agent_online_and_its_lease_alive(product: Instance, agent: dict[str, Any]) -> None:
    status, job = product.call("POST", "/jobs", {"agent": "worker", "message": "long"})
    assert status == 201
    began = time.monotonic()
    looks = 0
    while True:
        whole = product.call("GET", f"/jobs/{job['id']}")[1]
        if whole["status"] not in ("queuing", "sent", "running"):
            break
        looks += whole["status"] == "running"
        assert product.call("GET", f"/agents/{agent['id']}")[1]["online"] is True
        time.sleep(0.5)
    assert (whole["status"], whole["output"]["exit_code"], whole["late"]) == ("succeeded", 0, False), whole
    assert time.monotonic() - began > 2 * LEASE_SECONDS
    assert looks > 2 * LEASE_SECONDS
    assert [event["move"] for event in whole["events"]] == ["submit", "claim", "progress", "finish"]


@pytest.mark.long
def test_a_job_of_thirty_minutes_scaled(product: Instance, agent: dict[str, Any]) -> None:
    """45 s with a lease of 3 s: fifteen leases, as thirty minutes have with one of 120 s."""
    test_a_long_job_keeps_its_agent_online_and_its_lease_alive(product, agent)


def _sleepers(job_id: str) -> list[int]:
    """Return the processes with the job's id in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"SKADI_JOB_ID={job_id}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def test_cancel_ends_the_whole_tree(product: Instance, agent: dict[str, Any]) -> None:
    job = product.call("POST", "/jobs", {"agent": "worker", "message": "tree"})[1]
    until(lambda: len(_sleepers(job["id"])) >= 2, seconds=20)
    assert product.call("POST", f"/jobs/{job['id']}/cancel")[0] == 200
    ended = product.call("GET", f"/jobs/{job['id']}?wait=20")[1]
    assert (ended["status"], ended["output"]["reason"]) == ("failed", "canceled")
    until(lambda: not _sleepers(job["id"]), seconds=15)


def test_ctrl_c_of_a_script_cancels_its_job(product: Instance, agent: dict[str, Any]) -> None:
    with _skadi_run(product, "worker", "tree") as script:
        until(lambda: product.call("GET", "/jobs?status=running&agent=worker")[1]["items"], seconds=20)
        (job,) = product.call("GET", "/jobs?status=running&agent=worker")[1]["items"]
        script.send_signal(signal.SIGINT)
        assert script.wait(30) == 130
    assert product.call("GET", f"/jobs/{job['id']}")[1]["status"] == "failed"
