"""The main job on the whole running product: texts go in, the real agent runs them, sweeps end the rest."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from tests.up.instance import Instance
from tests.waiting import until


def _run(product: Instance, text: str) -> dict[str, Any]:
    body = {"agent": "demo", "message": text, "ttl": 60}
    status, job = product.call("POST", "/jobs?wait=15", body)
    assert status == 201, job
    assert isinstance(job, dict)
    return job


@pytest.mark.parametrize(
    ("text", "status", "result"),
    [("Hi 傻瓜", "succeeded", "I am not 傻瓜!\n"), ("date", "succeeded", "20"), ("free -k", "succeeded", " ")],
)
def test_commands_that_the_agents_file_allows_run(product: Instance, text: str, status: str, result: str) -> None:
    job = _run(product, text)
    assert (job["status"], job["output"]["exit_code"]) == (status, 0)
    assert job["result"].startswith(result)


@pytest.mark.parametrize("text", ["free; touch {}", "free `touch {}`", "freedom", "Hi $(touch {})", "date && touch {}"])
def test_no_other_text_starts_a_program(product: Instance, tmp_path: Path, text: str) -> None:
    canary = tmp_path / "started"
    job = _run(product, text.format(canary))
    assert job["status"] in ("failed", "succeeded")
    assert not canary.exists()


def test_a_timeline_has_every_move(product: Instance) -> None:
    job = _run(product, "date")
    assert [event["move"] for event in job["events"]] == ["submit", "claim", "progress", "finish"]
    assert [event["number"] for event in job["events"]] == [1, 2, 3, 4]


def _poll_as(product: Instance, token: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=3)
    try:
        connection.request("GET", "/agent/job", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()


def test_beat_rings_the_sweeps(product: Instance) -> None:
    """An agent polls, claims one job and stays silent: the sweeps end its lease and its presence."""
    status, agent = product.call("POST", "/agents", {"name": "silent"})
    assert status == 201
    assert _poll_as(product, agent["token"]) == (204, None)
    jobs = [product.call("POST", "/jobs", {"agent": "silent", "message": text})[1] for text in ("taken", "waiting")]
    patient = product.call("POST", "/jobs", {"agent": "silent", "message": "patient", "ttl": 600})[1]
    assert _poll_as(product, agent["token"])[1]["id"] == jobs[0]["id"]

    def read(job: dict[str, Any]) -> dict[str, Any]:
        found = product.call("GET", f"/jobs/{job['id']}")[1]
        assert isinstance(found, dict)
        return found

    until(lambda: all(read(job)["status"] == "expired" for job in jobs), seconds=40)
    assert [read(job)["events"][-1]["move"] for job in jobs] == ["lease_end", "wait_end"]
    assert read(patient)["status"] == "queuing"
    assert product.call("GET", f"/agents/{agent['id']}")[1]["online"] is False
    status, error = product.call("POST", "/jobs", {"agent": "silent", "message": "date"})
    assert (status, error["error"]) == (400, "InvalidAgent")
    # It comes back, and the job that may wait is still there.
    assert _poll_as(product, agent["token"])[1]["id"] == patient["id"]
    assert product.call("GET", f"/agents/{agent['id']}")[1]["online"] is True
    # The late end of the claimed job is accepted once.
    connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=3)
    path, headers = f"/agent/jobs/{jobs[0]['id']}/succeed", {"Authorization": f"Bearer {agent['token']}"}
    connection.request("PUT", path, json.dumps({"result": "late"}), headers)
    assert connection.getresponse().status == 204
    connection.close()
    late = read(jobs[0])
    assert (late["status"], late["late"], late["result"]) == ("succeeded", True, "late")
