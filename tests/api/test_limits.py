"""Rate limits: exact across processes, kept without Redis, answered with Retry-After, never with a 401."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import Message
from typing import Any

import pytest
from redis import Redis

from accounts.tokens import new_agent_token, new_user_token
from kernel.limits import LocalCounters
from tests.api.contract import check_answer, check_error
from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer
from tests.waiting import until

# Redis or the process counts: the database is not used.
pytestmark = pytest.mark.sqlite_only

USER_CALLS, AGENT_CALLS, FAILURES = 15, 25, 10
_SETTINGS = {
    "LETSERVER_USER_CALLS_A_MINUTE": str(USER_CALLS),
    "LETSERVER_AGENT_CALLS_A_MINUTE": str(AGENT_CALLS),
    "LETSERVER_AUTH_FAILURES_A_MINUTE": str(FAILURES),
    # Each test calls from an address of its own.
    "LETSERVER_TRUSTED_PROXIES": "1",
}
_MINT = """
import json
from datetime import timedelta
from django.db.models import F
from accounts.models import User, UserToken
from accounts.services.tokens import mint_user_token
from agents.models import Agent, AgentToken
from accounts.services.users import get_or_create_user
from agents.services.manage import create_agent
def minted(name):
    user = get_or_create_user(username=name)
    token = mint_user_token(user=user, scope="full", actor="test")
    return token, create_agent(owner=user, name="limited", actor="test")[1]
callers = [minted(f"user-{number}") for number in range(13)]
many = User.objects.get(username="user-12")
tokens = [mint_user_token(user=many, scope=scope, actor="test") for scope in ("full", "jobs") * 6]
User.objects.create(username="boss", is_staff=True)
made = json.dumps([*callers[:-1], minted("boss"), tokens])
# What changed lately the gateway looks up anew each time; a slow machine would still be in that time.
for model in (UserToken, Agent, AgentToken):
    model.objects.update(changed_at=F("changed_at") - timedelta(minutes=1))
print(made)
"""
_numbers = itertools.count(1)
# The gateway answers the first if it is on; Django always answers the second.
_USER_PATHS = ("/jobs/nope", "/me")


class LimitedServer:
    """A live server with limits; `fresh` returns the tokens of a user and an agent that have not called yet."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        *callers, staff, many = json.loads(server.manage("shell", "--no-imports", "--command", _MINT))
        self.staff: tuple[str, str] = tuple(staff)
        self.tokens_of_one_user: list[str] = many
        self._callers = iter(callers)

    def fresh(self) -> tuple[str, str]:
        """Return the tokens of the next user and their agent."""
        user, agent = next(self._callers)
        return user, agent

    @contextmanager
    def redis_frozen(self) -> Iterator[None]:
        """Freeze Redis: it accepts connections and does not answer."""
        os.killpg(self.server.redis.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.server.redis.process.pid, signal.SIGCONT)


@pytest.fixture(scope="module", params=["gateway-on", "gateway-off"])
def limited(request: pytest.FixtureRequest, lane: Lane) -> Iterator[LimitedServer]:
    name = request.param.replace("gateway-", "limits_")
    gateway = request.param == "gateway-on"
    server = LiveServer(lane, name, gateway=gateway, **_SETTINGS)
    yield LimitedServer(server)
    server.close()


def _address() -> str:
    return f"192.0.2.{next(_numbers)}"


def _call(
    server: LiveServer, path: str, token: str, address: str = "192.0.2.250", language: str = "en"
) -> tuple[int, Any, Message]:
    headers = {"X-Forwarded-For": address, "Accept-Language": language}
    answer = server.call("GET", path, token=token, headers=headers)
    check_answer("GET", path, answer[0], answer[1])
    return answer


def _race(work: Callable[[int], int], calls: int) -> Counter[int]:
    """Return the statuses of `calls` calls from 16 threads."""
    with ThreadPoolExecutor(16) as threads:
        return Counter(threads.map(work, range(calls)))


def _tell_times(headers: Message, body: Any, number: int) -> None:
    """Check that the refusal names the limit and the same seconds as the header Retry-After."""
    check_error(body)
    assert body["error"] == "LimitExceeded"
    seconds = int(headers["Retry-After"])
    assert 1 <= seconds <= 60
    assert f" {number} " in body["message"]
    assert f" {seconds} " in body["message"]


def test_racing_calls_to_two_processes_are_counted_exactly(limited: LimitedServer) -> None:
    user, agent = limited.fresh()
    other = limited.server.neighbour()
    try:
        servers = (limited.server, other)
        users = _race(lambda at: _call(servers[at % 2], _USER_PATHS[at // 2 % 2], user)[0], 48)
        agents = _race(lambda at: _call(servers[at % 2], "/agent/job", agent)[0], 48)
    finally:
        other.stop()
    assert users[429] == 48 - USER_CALLS, users
    assert agents == {204: AGENT_CALLS, 429: 48 - AGENT_CALLS}


@pytest.mark.parametrize("path", _USER_PATHS)
def test_the_refusal_over_the_limit_names_its_end_in_both_languages(limited: LimitedServer, path: str) -> None:
    user, agent = limited.fresh()
    assert 429 not in [_call(limited.server, path, user)[0] for _ in range(USER_CALLS)]
    status, body, headers = _call(limited.server, path, user)
    assert status == 429
    _tell_times(headers, body, USER_CALLS)
    status, chinese, headers = _call(limited.server, path, user, language="zh-CN")
    assert status == 429
    _tell_times(headers, chinese, USER_CALLS)
    assert chinese["message"] != body["message"]
    assert _call(limited.server, "/agent/job", agent)[0] == 204  # counted apart
    assert limited.server.call("GET", "/status")[0] == 204


def test_twelve_tokens_of_a_user_share_one_limit(limited: LimitedServer) -> None:
    statuses = [_call(limited.server, path, token)[0] for token in limited.tokens_of_one_user for path in _USER_PATHS]
    assert 429 not in statuses[:USER_CALLS]
    assert statuses[USER_CALLS:] == [429] * (len(statuses) - USER_CALLS)


def test_old_agent_over_the_limit_gets_429_and_comes_back(limited: LimitedServer) -> None:
    _user, agent = limited.fresh()
    statuses = [_call(limited.server, "/agent/job", agent)[0] for _ in range(AGENT_CALLS + 5)]
    assert statuses == [204] * AGENT_CALLS + [429] * 5
    _status, body, headers = _call(limited.server, "/agent/job", agent)
    _tell_times(headers, body, AGENT_CALLS)
    with Redis.from_url(limited.server.redis.url) as client:
        ends = [client.pttl(key) for key in client.keys("letserver:limit:agent:*")]
        assert ends
        assert all(0 < milliseconds <= 60_000 for milliseconds in ends)
        client.flushall()  # the end of the window
    assert _call(limited.server, "/agent/job", agent)[0] == 204


def test_staff_and_their_agents_have_no_limit(limited: LimitedServer) -> None:
    user, agent = limited.staff
    for path, token in (("/me", user), ("/jobs/nope", user), ("/agent/job", agent)):
        assert 429 not in {_call(limited.server, path, token)[0] for _ in range(AGENT_CALLS + USER_CALLS)}


@pytest.mark.parametrize("path", [*_USER_PATHS, "/agent/job"])
def test_lookups_of_unknown_tokens_are_limited_per_address(limited: LimitedServer, path: str) -> None:
    address, another = _address(), _address()
    make = new_agent_token if path.startswith("/agent") else lambda: new_user_token("full")
    statuses = _race(lambda _at: _call(limited.server, path, make(), address)[0], 48)
    assert statuses == {401: FAILURES, 429: 48 - FAILURES}
    _status, body, headers = _call(limited.server, path, make(), address)
    _tell_times(headers, body, FAILURES)
    assert _call(limited.server, path, make(), another)[0] == 401


@pytest.mark.parametrize("path", ["/agent/job", "/me", "/jobs/nope"])
def test_failures_of_an_address_do_not_shut_out_its_valid_tokens(limited: LimitedServer, path: str) -> None:
    """One address may be a whole office, or a proxy in front of the server."""
    user, agent = limited.fresh()
    address = _address()
    make = new_agent_token if path.startswith("/agent") else lambda: new_user_token("full")
    for _ in range(FAILURES):
        _call(limited.server, path, make(), address)
    assert _call(limited.server, path, make(), address)[0] == 429
    known = _call(limited.server, path, agent if path.startswith("/agent") else user, address)[0]
    assert known in (200, 204, 404)


def test_malformed_tokens_are_not_counted(limited: LimitedServer) -> None:
    address = _address()
    assert {_call(limited.server, "/me", "nonsense", address)[0] for _ in range(FAILURES + 5)} == {400}
    assert _call(limited.server, "/me", new_user_token("full"), address)[0] == 401


def test_with_redis_frozen_the_process_counts_locally_and_answers_in_time(limited: LimitedServer) -> None:
    user, agent = limited.fresh()
    address = _address()
    assert _call(limited.server, "/agent/job", agent)[0] == 204
    with limited.redis_frozen():
        began = time.monotonic()
        assert [_call(limited.server, "/me", user)[0] for _ in range(USER_CALLS + 3)] == [200] * USER_CALLS + [429] * 3
        statuses = [_call(limited.server, "/agent/job", agent)[0] for _ in range(AGENT_CALLS + 3)]
        assert statuses == [204] * AGENT_CALLS + [429] * 3
        unknown = [_call(limited.server, "/me", new_user_token("full"), address)[0] for _ in range(FAILURES + 3)]
        assert unknown == [401] * FAILURES + [429] * 3
        assert time.monotonic() - began < 8, "every call waited for Redis"

    def shared() -> bool:
        """Return whether Redis counts again: the local count of this process is used up."""
        return _call(limited.server, "/agent/job", agent)[0] == 204

    until(shared)


def test_with_redis_killed_the_process_counts_locally(lane: Lane) -> None:
    server = LiveServer(lane, "limits_killed", gateway=True, **_SETTINGS)
    try:
        user, agent = LimitedServer(server).fresh()
        server.redis.kill()
        assert [_call(server, "/me", user)[0] for _ in range(USER_CALLS + 3)] == [200] * USER_CALLS + [429] * 3
        statuses = [_call(server, "/agent/job", agent)[0] for _ in range(AGENT_CALLS + 3)]
        assert statuses == [204] * AGENT_CALLS + [429] * 3
    finally:
        server.close()


def test_local_counters_forget_the_oldest_window_first() -> None:
    counters = LocalCounters(limit=3)
    for key in ("a", "b", "c", "a", "a", "d"):
        counters.count(key, 1)
    assert [counters.count(key, 0).count for key in ("b", "c", "d")] == [1, 1, 1]
    assert counters.count("a", 0).count == 0
