"""The first request of a start: the agent's identity, or a sentence that says why it is not known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.skadi.fake_server import FakeServer, Handler, Reply, answer_of
from tests.skadi.support import TOKEN, AgentProcess, wait_until

Make = Callable[..., AgentProcess]
QUICK = "pace.FIRST_RETRY = 0.05\n"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer(hold=True, protocol=2)
    yield fake
    fake.stop()


def test_the_log_says_where_and_as_whom_we_are_connected(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("").start()
    wait_until(lambda: server.waiting)
    assert f"INFO connected to {server.url} as bar (owner alice), protocol 2\n" in agent.log()
    assert (server.introductions, len(server.polls)) == (1, 1)
    assert server.polls[0][1] == "/agent/job?wait=25"
    other = FakeServer(hold=True, protocol=2)
    try:
        agent.write(agent.config.read_text().replace(server.url, other.url))
        agent.signal(1)
        wait_until(lambda: other.waiting)
        assert f"connected to {other.url} as bar (owner alice)" in agent.log()
    finally:
        other.stop()


def test_an_old_server_is_polled_and_nothing_is_said_of_the_missing_call(make_agent: Make) -> None:
    old = FakeServer(hold=True)
    try:
        agent = make_agent("", server=old.url).start()
        wait_until(lambda: old.waiting)
        assert f"INFO connected to {old.url}, protocol 1\n" in agent.log()
        assert "WARNING" not in agent.log()
        assert (old.introductions, [path for _, path, _ in old.polls]) == (1, ["/agent/job", "/agent/job?wait=25"])
    finally:
        old.stop()


def test_an_unknown_token_is_explained_with_the_way_out(server: FakeServer, make_agent: Make) -> None:
    server.token = "b" * 20
    agent = make_agent("").start()
    assert agent.wait() == 78
    assert f"the server refuses the token: {server.url} does not know it" in agent.log()
    assert "make a new one on the agent's page there (New token) and run: skadi TOKEN" in agent.log()
    assert TOKEN not in agent.log()
    assert server.polls == []


def test_no_network_is_explained_and_waited_for(make_agent: Make) -> None:
    away = FakeServer(hold=True, protocol=2)
    port = away.server_address[1]
    away.stop()
    agent = make_agent("", server=away.url).start(constants=QUICK)
    wait_until(lambda: f"check `server:` and the network server={away.url} error=ConnectionRefusedError" in agent.log())
    back = FakeServer(hold=True, protocol=2, port=port)
    try:
        wait_until(lambda: back.waiting)
        assert "as bar (owner alice)" in agent.log()
    finally:
        back.stop()


@pytest.mark.parametrize("status", [503, 429, 502])
def test_a_server_that_is_not_ready_is_asked_again(server: FakeServer, make_agent: Make, status: int) -> None:
    server.whoami_replies.append(status)
    agent = make_agent("").start(constants=QUICK)
    wait_until(lambda: server.waiting)
    assert server.introductions == 2
    assert "as bar (owner alice)" in agent.log()


def said(body: object) -> Reply:
    def answer(handler: Handler) -> None:
        handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))

    text = json.dumps(body).encode()
    return answer


@pytest.mark.parametrize(
    "reply",
    [
        500,
        302,
        405,
        lambda handler: handler.answer(*answer_of("a disabled agent")),
        said(None),
        said([]),
        said({"name": 1, "owner": "alice"}),
        said({"name": "", "owner": "alice"}),
        said({"name": "bar"}),
    ],
)
def test_jobs_are_asked_for_whatever_it_answers(server: FakeServer, make_agent: Make, reply: Reply) -> None:
    server.whoami_replies.append(reply)
    agent = make_agent("").start(constants=QUICK)
    wait_until(lambda: server.waiting)
    assert "connected to" in agent.log()
    assert "owner" not in agent.log()
    assert "Traceback" not in agent.log()
