"""Polls: held and plain ones, refused tokens, and invalid answers."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from skadi.client import Client, Unreachable, proxy_for
from skadi.config import parse_server
from skadi.pace import INTERVAL, PollPace, back_off
from tests.skadi.fake_server import EXCHANGES, FakeServer, Handler, answer_of
from tests.skadi.support import TOKEN, AgentProcess, wait_until

Make = Callable[..., AgentProcess]


def test_a_poll_is_what_the_contract_says(server: FakeServer, make_agent: Make) -> None:
    make_agent().start()
    wait_until(lambda: server.waiting)
    job = server.add("Hi 傻瓜")
    assert wait_until(lambda: server.reports.get(job))[1]["result"] == "I am not 傻瓜!\n"
    assert server.polls[0][1] == EXCHANGES["a job"]["request"]["path"]
    _, path, headers = server.polls[1]
    wanted = EXCHANGES["a job for one that is ready to be held"]["request"]
    assert path == wanted["path"]
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Type"] == "application/json"
    assert headers["Skadi-Agent"].split(" ")[0] == wanted["headers"]["Skadi-Agent"].split(" ")[0]


def test_a_held_poll_is_answered_at_once_and_on_one_connection(server: FakeServer, make_agent: Make) -> None:
    make_agent("").start()
    for _ in range(3):
        wait_until(lambda: server.waiting == 1)
        began = time.monotonic()
        job = server.add("help")
        wait_until(lambda job=job: job in server.reports)
        assert time.monotonic() - began < 1
    assert len(server.polls) <= 5


def test_a_server_that_does_not_hold_is_polled_at_the_interval(server: FakeServer, make_agent: Make) -> None:
    server.hold = False
    make_agent("").start(constants="pace.INTERVAL = 0.3")
    wait_until(lambda: len(server.polls) >= 7)
    times = [moment for moment, _, _ in server.polls[1:]]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(0.23 < gap < 0.8 for gap in gaps), gaps


def test_pace_of_polls() -> None:
    pace = PollPace()
    assert pace.next_hold(0) == 25
    assert pace.after_no_job(25.0) == 0.0
    for _ in range(100):
        assert 0.8 * INTERVAL <= pace.after_no_job(0.2) <= 1.2 * INTERVAL
    assert pace.after_success() == 0.0


def test_cuts_at_the_same_age_shorten_the_hold_and_an_hour_forgets_them() -> None:
    pace = PollPace()
    pace.after_cut(20.0, now=0)
    assert pace.next_hold(1) == 25  # one cut may be an accident
    holds = []
    for _ in range(10):
        pace.after_cut(20.3, now=10)
        holds.append(pace.next_hold(10))
    assert holds[:1] == [12]
    assert sorted(set(holds), reverse=True) == [12, 6, 5, 0]
    assert pace.after_no_job(3.0) > 1  # not held any more: the plain interval
    assert pace.next_hold(3700) == 25
    other = PollPace()
    for elapsed in (3.0, 17.0, 9.0, 22.0):
        other.after_cut(elapsed, now=0)
    assert other.next_hold(1) == 25


def test_back_off_grows_is_spread_and_has_a_limit() -> None:
    assert all(0 <= back_off(1, 60) <= 1 for _ in range(100))
    assert all(0 <= back_off(50, 60) <= 60 for _ in range(100))
    assert max(back_off(50, 600) for _ in range(300)) > 300
    pace = PollPace()
    assert 120 <= pace.after_failure(120.0) <= 121


def test_a_token_refused_at_the_first_start_ends_with_78(server: FakeServer, make_agent: Make) -> None:
    server.token = "b" * 20
    agent = make_agent().start()
    assert agent.wait() == 78
    assert "the server refuses the token" in agent.log()
    assert TOKEN not in agent.log()


def test_a_token_that_worked_before_is_tried_again(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent()
    agent.start()
    wait_until(lambda: server.waiting)
    agent.signal(15)
    assert agent.wait() == 0
    server.token = "b" * 20
    agent.start(constants="pace.REFUSED_RETRY = 0.3")
    before = len(server.polls)
    wait_until(lambda: len(server.polls) >= before + 3)
    assert agent.process is not None
    assert agent.process.poll() is None
    assert "server refuses the token, trying again later" in agent.log()
    server.token = TOKEN
    job = server.add("help")
    wait_until(lambda: job in server.reports)
    # A new token is a first start again.
    agent.signal(15)
    agent.wait()
    agent.write(agent.config.read_text().replace(TOKEN, "c" * 20))
    agent.start()
    assert agent.wait() == 78


def test_a_disabled_agent_waits(server: FakeServer, make_agent: Make) -> None:
    status, body = answer_of("a disabled agent")
    server.poll_replies.extend([lambda handler: handler.answer(status, body)] * 3)
    agent = make_agent("").start(constants="pace.FIRST_RETRY = 0.1")
    job = server.add("help")
    wait_until(lambda: job in server.reports)
    assert "UnavailableAgent" in agent.log()


def test_retry_after_of_a_poll_is_obeyed(server: FakeServer, make_agent: Make) -> None:
    server.poll_replies.append((429, {"Retry-After": "1"}))
    make_agent("").start(constants="pace.FIRST_RETRY = 0.1")
    wait_until(lambda: len(server.polls) >= 2)
    assert server.polls[1][0] - server.polls[0][0] >= 1


def test_a_redirect_never_takes_the_token_along(server: FakeServer, make_agent: Make) -> None:
    other = FakeServer()
    try:
        server.poll_replies.extend([(302, {"Location": f"{other.url}/agent/job"}), (307, {"Location": other.url})])
        make_agent("").start(constants="pace.FIRST_RETRY = 0.1")
        job = server.add("help")
        wait_until(lambda: job in server.reports)
        assert other.polls == []
    finally:
        other.stop()


def bad_replies(chance: random.Random, count: int) -> list[Callable[[Handler], None]]:
    """Invalid answers to a poll, from harmless to hostile."""
    head = b"HTTP/1.1 200 OK\r\n"

    def body(data: bytes, status: bytes = head) -> bytes:
        return status + b"Content-Length: %d\r\n\r\n" % len(data) + data

    jobs: list[object] = [
        None,
        1,
        "x",
        [],
        {},
        [{"id": "a", "message": "count"}],
        {"id": 1, "message": "count"},
        {"id": "a"},
        {"message": "count"},
        {"id": "a", "message": None},
        {"id": "a", "message": ["count"]},
        {"id": "", "message": "count"},
        {"id": "../../etc", "message": "count"},
        {"id": "a/b", "message": "count"},
        {"id": "a" * 65, "message": "count"},
        {"id": "..", "message": "count"},
        {"id": "a\x00", "message": "count"},
        {"id": "a\n", "message": "count"},
        {"id": "傻", "message": "count"},
        {"id": {"a": 1}, "message": "count"},
        {"id": True, "message": "count"},
        {"ID": "a", "Message": "count"},
        {"id": "a ", "message": "count"},
        {"id": "%2e%2e", "message": "count"},
    ]
    fixed = [
        *[body(json.dumps(job).encode()) for job in jobs],
        body(b""),
        body(b"{"),
        body(b"\xff\xfe"),
        body(b"null"),
        body(b"NaN"),
        body(b'{"id": "a", "message": "\xff"}'),
        body(b"[" * 100_000),
        body(b'{"a":' * 50_000),
        body(b"1" * 10_000),
        body(b"x" * 1_200_000),
        head + b"Content-Length: 99\r\n\r\nshort",
        head + b"Content-Length: -1\r\n\r\n{}",
        head + b"Content-Length: x\r\n\r\n{}",
        head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\nx",
        head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"",
        b"\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00" * 5000,
        b"HTTP/1.1 " + b"2" * 70_000,
        head + b"X: y\r\n" * 200 + b"\r\n",
        head + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"SSH-2.0-x\r\n",
        body(b"{}", b"HTTP/1.1 500 X\r\n"),
        body(b"<html>", b"HTTP/1.1 503 X\r\n"),
        body(b"{}", b"HTTP/1.1 418 X\r\n"),
        body(b'{"id":"b","message":"count"}', b"HTTP/1.1 201 X\r\n"),
        body(b"{}", b"HTTP/1.1 301 X\r\nLocation: /\r\n"),
        body(b"", b"HTTP/1.1 204 X\r\nRetry-After: 99999\r\n"),
        body(b"", b"HTTP/1.1 503 X\r\nRetry-After: x\r\n"),
        body(b"", b"HTTP/1.1 503 X\r\nRetry-After: -5\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        body(b'{"id":"seen","message":"count"}'),
        body(b'{"error":{"a":1}}', b"HTTP/1.1 400 X\r\n"),
    ]
    replies = []
    for number in range(count):
        data = fixed[number % len(fixed)] if number < 2 * len(fixed) else bytearray(chance.choice(fixed)[:3000])
        if isinstance(data, bytearray):
            for _ in range(chance.randrange(1, 8)):
                if data:
                    # The digits of the status stay: a 401 would be a real refusal.
                    data[chance.randrange(len(data))] = chance.choice(b'\x00\n\r :{}[]"x\xff')
        replies.append(lambda handler, data=bytes(data): handler.raw(data))
    chance.shuffle(replies)
    return replies


def fuzz(server: FakeServer, make_agent: Make, tmp_path: Path, count: int, seconds: float) -> None:
    runs = tmp_path / "runs"
    agent = make_agent(f"shortcuts:\n  - {{short: count, cmd: 'echo $SKADI_JOB_ID >> {runs}'}}\n")
    server.add("count", "seen")
    server.add("count", "first")
    # No pauses: every answer counts as a failure, and the backoff would take hours.
    agent.start(constants="pace.back_off = lambda failures, most: 0.0\npace.INTERVAL = 0.0\npace.FIRST_RETRY = 0.0")
    wait_until(lambda: len(server.reports) == 2)
    replies = bad_replies(random.Random(5), count)
    server.poll_replies.extend(replies)
    server.add("count", "wake")  # ends the held poll
    wait_until(lambda: not server.poll_replies, seconds, "all bad replies asked for")
    job = server.add("count", "last")
    wait_until(lambda: job in server.reports, 20)
    assert agent.process is not None
    assert agent.process.poll() is None
    ran = runs.read_text().split()
    assert {"seen", "first", "last"} <= set(ran)
    assert len(ran) == len(set(ran)), "an id ran twice"
    assert "Traceback" not in agent.log()


def test_no_answer_ends_the_agent_or_runs_anything_twice(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    fuzz(server, make_agent, tmp_path, count=2000, seconds=40)


@pytest.mark.long
@pytest.mark.timeout(2000)
def test_a_hundred_thousand_bad_answers(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    fuzz(server, make_agent, tmp_path, count=100_000, seconds=1800)


def test_an_answer_that_drips_is_cut_at_its_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
                while not stop.wait(0.1):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        client = Client(parse_server(f"http://127.0.0.1:{listener.getsockname()[1]}", False), TOKEN)
        began = time.monotonic()
        cutter = threading.Timer(0.3, lambda: client.enforce_deadline(time.monotonic() + 60))
        cutter.start()
        with pytest.raises(Unreachable):
            client.request("GET", "/", seconds=5)
        assert time.monotonic() - began < 3
        stop.set()
        cutter.join()
        thread.join()


def test_proxies_are_for_https_and_not_for_the_exceptions() -> None:
    server = parse_server("https://a.example.org", False)
    environment = {"HTTPS_PROXY": "http://proxy:3128"}
    assert proxy_for(server, environment) == "http://proxy:3128"
    for exception in ("*", "example.org", ".example.org", "a.example.org:443", "x, a.example.org"):
        assert proxy_for(server, {**environment, "NO_PROXY": exception}) == "", exception
    assert proxy_for(server, {**environment, "no_proxy": "ample.org"}) != ""
    assert proxy_for(parse_server("http://a.example.org", True), environment) == ""


def test_a_proxy_is_asked_to_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked: list[bytes] = []

        def proxy() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=proxy)
        thread.start()
        address = f"http://user:p%40ss@127.0.0.1:{listener.getsockname()[1]}"
        client = Client(parse_server("https://letserver.example", False), TOKEN, {"https_proxy": address})
        with pytest.raises(Unreachable):
            client.request("GET", "/")
        thread.join()
    assert asked[0].startswith(b"CONNECT letserver.example:443 HTTP/1.")
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz" in asked[0]
    assert TOKEN.encode() not in asked[0]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program to make a certificate")
def test_certificates_are_verified(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    for name, subject in (("good", "localhost"), ("bad", "other.example")):
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                f"/CN={subject}",
                "-addext",
                f"subjectAltName=DNS:{subject}",
                "-keyout",
                f"{name}.key",
                "-out",
                f"{name}.pem",
            ],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "good.pem", tmp_path / "good.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    trusted = {"SSL_CERT_FILE": str(tmp_path / "good.pem")}
    unknown = make_agent("", server=f"https://localhost:{port}").start(env={"SSL_CERT_FILE": str(tmp_path / "bad.pem")})
    wrong_name = make_agent("", server=f"https://127.0.0.1:{port}").start(env=trusted)
    for agent in (unknown, wrong_name):
        wait_until(lambda agent=agent: "CERTIFICATE_VERIFY_FAILED" in agent.log())
    assert server.polls == []
    make_agent("", server=f"https://localhost:{port}").start(env=trusted)
    job = server.add("help")
    wait_until(lambda: job in server.reports)
