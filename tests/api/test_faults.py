"""A server fault is a 503 with Retry-After, or a 500 without details; never a 401, on which old agents exit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection

from kernel.errors import NotFound, Unavailable
from kernel.transactions import LostRace, StaleClock, run_one
from tests.api.people import InProcess, Person, TheirAgent, new_person
from tests.api.routes import ROUTES, Route
from tests.lanes.live import SYS_TOKEN

_UNKNOWN = "00000000-0000-7000-8000-000000000000"


def _breaking(error: Exception, *, after: int) -> Callable[..., Any]:
    """Wrap the connection so that its queries fail after the first `after`."""
    seen = 0

    def execute(run: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen > after:
            raise error
        return run(sql, parameters, many, context)

    return execute


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """alice, her agent, and the words that fill every path."""

    alice: Person
    agent: TheirAgent
    words: dict[str, str]


@pytest.fixture(scope="module")
def scene(module_rows: Any) -> _Scene:
    """See `_Scene`. Built once; what a test changes of it is rolled back."""
    with module_rows():
        return _built_scene(new_person("alice"))


def _built_scene(alice: Person) -> _Scene:
    agent, channel = alice.add_agent("bar"), alice.add_channel()
    message = alice("POST", "/messages", {"text": "x"}).body
    user = alice("GET", "/me").body["id"]
    assert alice("PUT", "/state/bar", {}).status == 201
    assert alice("PUT", "/queues/bar", {}).status == 201
    schedule = {"agent": agent.id, "message": "x", "cron": "@daily"}
    assert alice("PUT", "/schedules/bar", schedule).status == 201
    later = alice("POST", "/delayed-jobs", {"agent": agent.id, "message": "x", "delay": "1d"}).body["id"]
    words = {
        "schedule_id": "bar", "delayed_id": later, "job_id": alice.give(agent), "agent_id": agent.id,
        "channel_id": channel["id"], "message_id": message["id"], "delivery_id": message["deliveries"][0]["id"],
        "user_id": user, "name": "bar", "user": user, "agent": agent.id, "pulled_id": _UNKNOWN,
    }  # fmt: skip
    return _Scene(alice=alice, agent=agent, words=words)


@pytest.mark.sqlite_only  # once: the failure is raised before either database is asked
@pytest.mark.django_db
@pytest.mark.parametrize("route", [pytest.param(route, id=" ".join(route.key)) for route in ROUTES])
def test_database_that_fails_is_503_and_never_401(route: Route, scene: _Scene, settings: Any) -> None:
    settings.SYS_TOKEN = SYS_TOKEN
    alice = scene.alice
    path, body = route.filled(**scene.words)
    token = SYS_TOKEN if route.by_system else alice.full if route.scopes else scene.agent.token
    for after in range(3):
        for error in (OperationalError(2006, "gone"), InterfaceError("closed"), DatabaseError("what")):
            with connection.execute_wrapper(_breaking(error, after=after)):
                answer = alice.api(route.method, path, body, token=token)
            if after and answer.status < 300:
                return  # the call needs no more queries
            assert (answer.status, answer.body["error"]) == (503, "Unavailable"), (after, answer)
            assert int(answer.headers["retry-after"]) >= 1


def test_bug_is_a_500_without_details(alice: Person, caplog: pytest.LogCaptureFixture) -> None:
    client = InProcess()
    with connection.execute_wrapper(_breaking(ZeroDivisionError("SELECT secret FROM /etc/passwd"), after=0)):
        response = client.unchecked("GET", "/me", token=alice.full)
    assert response.status == 500
    assert response.body["error"] == "ServerError"
    assert "secret" not in str(response.body)
    assert alice.full not in caplog.text
    assert "operation failed" in caplog.text


def _losing(times: int, error: Exception) -> Callable[[Sequence[str]], list[str]]:
    left = times

    def service(items: Sequence[str]) -> list[str]:
        nonlocal left
        if left:
            left -= 1
            raise error
        return list(items)

    return service


@pytest.mark.django_db
@pytest.mark.parametrize("error", [IntegrityError("key"), LostRace(), StaleClock()])
def test_a_lost_race_is_retried(error: Exception) -> None:
    assert run_one(_losing(2, error), "item") == "item"
    with pytest.raises(Unavailable):
        run_one(_losing(3, error), "item")


@pytest.mark.django_db
def test_outcome_that_is_an_error_is_raised() -> None:
    with pytest.raises(NotFound):
        run_one(lambda items: [NotFound()], "item")
