"""A client written like the original SDK works unchanged, with only the base URL replaced."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.api.old_client import Ended, OldAgent, send
from tests.api.people import Live, Person, TheirAgent
from tests.lanes.live import LiveServer
from tests.waiting import until


def _all_jobs(person: Person, agent: TheirAgent) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = []
    path = f"/jobs?limit=100&agent={agent.id}"
    page = person("GET", path).body
    jobs += page["items"]
    while page["next"]:
        page = person("GET", f"{path}&cursor={page['next']}").body
        jobs += page["items"]
    return jobs


@pytest.mark.parametrize(
    ("server", "count"),
    [
        pytest.param("live_on", 1000, marks=pytest.mark.mariadb_only),
        pytest.param("live_on", 50, marks=pytest.mark.sqlite_only),
        pytest.param("live_off", 50, marks=pytest.mark.sqlite_only),
    ],
)
def test_old_agent_does_every_job_once_and_in_order(
    server: str, count: int, request: pytest.FixtureRequest, live_people_of: Any
) -> None:
    process: LiveServer = request.getfixturevalue(server)
    alice = live_people_of(Live(process))["alice"]
    theirs = alice.add_agent()
    agent = OldAgent(process.base, theirs.token)
    with ThreadPoolExecutor(1) as sender:
        refused = sender.submit(send, process.base, alice.full, theirs.name, count)
        agent.work(count)
        assert refused.result() == 0
    agent.connection.close()
    assert agent.done == [f"job {number}" for number in range(count)]
    assert agent.failures == 0
    assert agent.connection.opened == 1
    jobs = _all_jobs(alice, theirs)
    assert len(jobs) == count
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert [job["result"] for job in jobs] == [f"did {job['message']}" for job in jobs]


def test_old_agent_ends_only_when_its_token_is_gone(live: Live, live_alice: Person) -> None:
    theirs = live_alice.add_agent()
    agent = OldAgent(live.process.base, theirs.token)
    assert agent.poll() is False
    assert live_alice("PATCH", f"/agents/{theirs.id}", {"enabled": False}).status == 200
    # A disabled agent gets a 400 and continues to poll, as with the original.
    until(lambda: agent.poll() or agent.failures)
    assert live_alice("PATCH", f"/agents/{theirs.id}", {"enabled": True}).status == 200
    assert live_alice("POST", f"/agents/{theirs.id}/token").status == 201

    def ended() -> bool:
        try:
            agent.poll()
        except Ended:
            return True
        return False

    until(ended, seconds=2)
    agent.connection.close()


def test_old_client_runs_as_a_script(live: Live, live_alice: Person) -> None:
    theirs = live_alice.add_agent()
    script = Path(__file__).with_name("old_client.py")
    command = [sys.executable, str(script), live.process.base, live_alice.full, theirs.token, "5", theirs.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 jobs in ")
