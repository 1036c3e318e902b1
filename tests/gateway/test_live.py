"""The gateway in a real process: held polls, Redis down, revocation while parked, disconnects, stops."""

from __future__ import annotations

import functools
import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from redis import Redis

from tests.lanes.live import LiveServer
from tests.waiting import until

_numbers = itertools.count(1)
# A bell counts as lost after two seconds. Each start of Django costs more than to say that they are over.
_SWEEP = """
from datetime import timedelta
from jobs.life.upkeep import ring_lost_bells
from kernel.bells import ringer
from kernel.clock import database_now
ring_lost_bells(now=database_now() + timedelta(seconds=3))
ringer.wait_until_empty()
"""


@functools.cache
def _user_token(live: LiveServer) -> str:
    return live.manage("create_token", "gate").strip()


class Pair:
    """A user and their agent on a live server."""

    def __init__(self, live: LiveServer) -> None:
        self.live = live
        self.agent = f"gate-{next(_numbers)}"
        self.user_token = _user_token(live)
        status, agent, _ = live.call("POST", "/agents", {"name": self.agent}, token=self.user_token)
        assert status == 201, agent
        self.agent_id, self.agent_token = agent["id"], agent["token"]

    def poll(self, wait: int | None = None) -> tuple[int, dict[str, str] | None]:
        """Poll once; as an old client if `wait` is None."""
        path = "/agent/job" if wait is None else f"/agent/job?wait={wait}"
        status, body, _ = self.live.call("GET", path, token=self.agent_token)
        return status, body

    def send(self, message: str = "date") -> dict[str, str]:
        """Send a job for the agent; return it."""
        status, job, _ = self.live.call(
            "POST", "/jobs", {"agent": self.agent, "message": message, "ttl": 600}, token=self.user_token
        )
        assert status == 201, job
        assert isinstance(job, dict)
        return job

    def read(self, job_id: str, wait: int = 0) -> dict[str, str]:
        """Return the job as its owner sees it."""
        status, job, _ = self.live.call("GET", f"/jobs/{job_id}?wait={wait}", token=self.user_token)
        assert status == 200, job
        assert isinstance(job, dict)
        return job


@pytest.fixture
def pair(live_on: LiveServer) -> Pair:
    return Pair(live_on)


@contextmanager
def _in_background(work: Callable[[], object]) -> Iterator[Future[object]]:
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(work)


def _parked(live: LiveServer) -> int:
    """Return the number of open connections of the server, which includes parked polls."""
    with open(f"/proc/{live.pid}/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[1].endswith(f":{live.port:04X}") and row[3] == "01" for row in rows)


def _park(pair: Pair) -> None:
    until(lambda: _parked(pair.live) >= 1)


def test_a_held_poll_is_answered_when_a_job_comes(pair: Pair) -> None:
    assert pair.poll()[0] == 204
    with _in_background(lambda: pair.poll(20)) as answer:
        _park(pair)
        job = pair.send()
        began = time.monotonic()
        assert answer.result(10) == (200, {"id": job["id"], "message": "date"})
        assert time.monotonic() - began < 5


def test_an_old_client_is_never_held(pair: Pair) -> None:
    began = time.monotonic()
    assert pair.poll()[0] == 204
    assert time.monotonic() - began < 2


def test_a_poll_right_after_the_201_finds_the_job(pair: Pair) -> None:
    for number in range(30):
        pair.poll()
        job = pair.send(str(number))
        assert pair.poll() == (200, {"id": job["id"], "message": str(number)})


def test_a_reader_that_waits_is_answered_at_the_end(pair: Pair) -> None:
    pair.poll()
    job = pair.send()
    assert pair.poll()[0] == 200
    with _in_background(lambda: pair.read(job["id"], 20)) as answer:
        _park(pair)
        path = f"/agent/jobs/{job['id']}/succeed"
        assert pair.live.call("PUT", path, {"result": "done"}, token=pair.agent_token)[0] == 204
        done = answer.result(10)
    assert isinstance(done, dict)
    assert (done["status"], done["result"]) == ("succeeded", "done")


@contextmanager
def _redis_stopped(live: LiveServer) -> Iterator[None]:
    os.killpg(live.redis.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(live.redis.process.pid, signal.SIGCONT)


def test_with_redis_frozen_every_call_still_works_in_time(pair: Pair) -> None:
    pair.poll()
    with _redis_stopped(pair.live):
        for number in range(3):
            began = time.monotonic()
            job = pair.send(str(number))
            assert pair.poll() == (200, {"id": job["id"], "message": str(number)})
            assert pair.live.call("PUT", f"/agent/jobs/{job['id']}/fail", {}, token=pair.agent_token)[0] == 204
            assert time.monotonic() - began < 3
        with _in_background(lambda: pair.poll(20)) as answer:
            _park(pair)
            job = pair.send("parked")
            assert answer.result(10) == (200, {"id": job["id"], "message": "parked"})


def test_a_flag_lost_by_redis_is_found_by_the_sweep(pair: Pair) -> None:
    pair.poll()
    job = pair.send()
    with Redis.from_url(pair.live.redis.url) as client:
        client.flushall()
    assert pair.poll()[0] == 204

    def swept() -> bool:
        pair.live.manage("shell", "-c", _SWEEP)
        return pair.poll()[0] == 200

    until(swept, seconds=20)
    assert pair.read(job["id"])["status"] == "sent"


def test_redis_that_drops_its_connections_fails_no_call(pair: Pair) -> None:
    """Jobs are stored and answered while every connection to Redis is cut repeatedly."""
    pair.poll()
    sent: list[str] = []
    done = threading.Event()

    def produce() -> None:
        while not done.is_set():
            sent.append(pair.send()["id"])

    cuts = 0
    with ThreadPoolExecutor(4) as threads, Redis.from_url(pair.live.redis.url) as client:
        producers = [threads.submit(produce) for _ in range(4)]
        while len(sent) < 300:
            for kind in ("normal", "pubsub"):
                cuts += client.client_kill_filter(_type=kind, skipme=True)
        done.set()
        for producer in producers:
            producer.result(10)
    assert cuts >= 10
    assert "gateway.bug" not in pair.live.log_text()
    got = [job["id"] for status, job in iter(lambda: pair.poll(), (204, None)) if status == 200 and job]
    assert len(got) == len(set(got))
    assert set(got) <= set(sent)


@pytest.mark.parametrize("path", ["/status", "/agents", "/console/login", "/nowhere"])
def test_a_body_that_is_too_large_never_reaches_django(pair: Pair, path: str) -> None:
    status, body, _ = pair.live.call("POST", path, raw=b"x" * 100_000)
    assert (status, body["error"]) == (413, "TooLarge")


def test_a_token_that_ends_while_its_poll_is_parked_gets_no_job(pair: Pair) -> None:
    assert pair.poll()[0] == 204
    with _in_background(lambda: pair.poll(20)) as answer:
        _park(pair)
        assert pair.live.call("POST", f"/agents/{pair.agent_id}/token", token=pair.user_token)[0] == 201
        old = pair.agent_token
        until(lambda: pair.live.call("GET", "/agent/job", token=old)[0] == 401, seconds=3)
        job = pair.send()
        outcome = answer.result(10)
    assert isinstance(outcome, tuple)
    assert outcome[0] == 401
    assert pair.read(job["id"])["status"] == "queuing"


def test_a_job_is_not_lost_on_a_caller_that_hung_up(pair: Pair) -> None:
    assert pair.poll()[0] == 204
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", pair.live.port)) as connection:
            head = f"Host: localhost\r\nAuthorization: Bearer {pair.agent_token}"
            connection.sendall(f"GET /agent/job?wait=30 HTTP/1.1\r\n{head}\r\n\r\n".encode())
            _park(pair)
    until(lambda: _parked(pair.live) == 0)
    job = pair.send()
    assert pair.poll() == (200, {"id": job["id"], "message": "date"})


def test_stopping_answers_parked_polls_at_once(pair: Pair) -> None:
    with _in_background(lambda: pair.poll(50)) as answer:
        _park(pair)
        began = time.monotonic()
        pair.live.stop()
        assert answer.result(10) == (204, None)
        assert time.monotonic() - began < 3
    pair.live.start()
    assert pair.poll()[0] == 204


def test_many_agents_at_once_get_each_their_own_jobs_once(live_on: LiveServer) -> None:
    """Eight agents poll and eight senders submit 160 jobs: each job is claimed once, in order, by its agent."""
    pairs = [Pair(live_on) for _ in range(8)]
    for each in pairs:
        each.poll()
    got: list[tuple[int, str, str]] = []
    done = threading.Event()

    def consume(at: int) -> None:
        while not done.is_set():
            status, job = pairs[at].poll(1)
            if status == 200:
                assert job is not None
                got.append((at, job["id"], job["message"]))
                path = f"/agent/jobs/{job['id']}/succeed"
                assert live_on.call("PUT", path, {"result": job["message"]}, token=pairs[at].agent_token)[0] == 204

    def produce(at: int) -> None:
        for number in range(20):
            pairs[at].send(f"{at}/{number}")

    with ThreadPoolExecutor(16) as threads:
        consumers = [threads.submit(consume, at) for at in range(8)]
        for producer in [threads.submit(produce, at) for at in range(8)]:
            producer.result(60)
        until(lambda: len(got) >= 160, seconds=60)
        done.set()
        for consumer in consumers:
            consumer.result(10)
    assert len(got) == len({job_id for _, job_id, _ in got}) == 160
    assert all(message.startswith(f"{at}/") for at, _, message in got)
    for at in range(8):
        assert [message for who, _, message in got if who == at] == [f"{at}/{number}" for number in range(20)]
