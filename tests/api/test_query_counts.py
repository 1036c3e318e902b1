"""The number of queries of each hot call. A change here is a decision, not an accident."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.api.people import Person, TheirAgent

_BOOKKEEPING = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT", "SET ", "SELECT UTC_TIMESTAMP")


def _queries(person: Person, method: str, path: str, body: Any = None, **more: Any) -> int:
    """Count the queries that read or write rows; savepoints and the clock differ between databases."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        answer = person.api(method, path, body, **more)
    assert answer.status < 300, answer
    counted = [query["sql"] for query in captured if not query["sql"].startswith(_BOOKKEEPING)]
    return len(counted)


@pytest.fixture
def agent(alice: Person) -> TheirAgent:
    """An online agent, so that no call counts its first contact."""
    return alice.add_agent("bar")


def test_poll_without_a_job(alice: Person, agent: TheirAgent) -> None:
    # Token; presence: offline agents, the update; claim: the earlier attempt, the next job.
    assert _queries(alice, "GET", "/agent/job", token=agent.token) == 5


def test_poll_that_gets_a_job(alice: Person, agent: TheirAgent) -> None:
    alice.send(agent)
    # The five of a poll without a job, the compare-and-swap, the event.
    assert _queries(alice, "GET", "/agent/job", token=agent.token) == 7


def test_end_of_a_job(alice: Person, agent: TheirAgent) -> None:
    job_id = alice.give(agent)
    # Token, presence (2); the earlier attempt, the lock, the compare-and-swap, the output, the event; the owner's
    # channels.
    assert _queries(alice, "PUT", f"/agent/jobs/{job_id}/succeed", {"result": "x"}, token=agent.token) == 9


def test_progress_of_a_job(alice: Person, agent: TheirAgent) -> None:
    job_id = alice.give(agent)
    # Without text there is no notice, so the owner's channels are not read.
    assert _queries(alice, "PUT", f"/agent/jobs/{job_id}/running", {"result": ""}, token=agent.token) == 7
    assert _queries(alice, "PUT", f"/agent/jobs/{job_id}/running", {"result": "x"}, token=agent.token) == 8


def test_job_in_one_line(alice: Person, agent: TheirAgent) -> None:
    # Token; the agent by name, known ids, the job, the event; the owner and how many of their jobs wait, once for a
    # tenth of the room that is left.
    assert _queries(alice, "POST", "/job/add", {"message": "bar x"}, token=alice.full) == 7
    assert _queries(alice, "POST", "/job/add", {"message": "bar x"}, token=alice.full) == 5


def test_job_with_a_key(alice: Person, agent: TheirAgent) -> None:
    body = {"agent": "bar", "message": "x"}
    headers = {"Idempotency-Key": "k"}
    # One more for the key, two for the room; the answer reads the job, its output and its events.
    assert _queries(alice, "POST", "/jobs", body, token=alice.full, headers=headers) == 11


def test_one_job(alice: Person, agent: TheirAgent) -> None:
    job_id = alice.give(agent)
    assert _queries(alice, "GET", f"/jobs/{job_id}", token=alice.full) == 4


@pytest.mark.parametrize("count", [1, 20])
def test_list_costs_the_same_for_one_and_for_many(count: int, alice: Person, agent: TheirAgent) -> None:
    for _ in range(count):
        alice.send(agent)
    assert _queries(alice, "GET", "/jobs", token=alice.full) == 3
    # Token, agents, their tags.
    assert _queries(alice, "GET", "/agents", token=alice.full) == 3
    assert _queries(alice, "GET", "/me", token=alice.full) == 6
