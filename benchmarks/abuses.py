"""Twelve ways to hurt a web server from one machine: `python -m benchmarks.abuses NAME PORT`, until it is killed.

The environment has the tokens: ABUSE_USER of a person, ABUSE_AGENT of the agent called `abused` of that person. Each
abuse is paced, so that it costs this process little: the cost for the server is to be measured.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException

_HOST = "127.0.0.1"
_MEGABYTE = b"x" * 2**20
_TIMEOUT_SECONDS = 30


def _connect(port: int) -> socket.socket:
    return socket.create_connection((_HOST, port), timeout=_TIMEOUT_SECONDS)


def _call(port: int, method: str, path: str, body: object = None, *, token: str = "", **headers: str) -> int:
    """Send one call, read the whole answer, return its status."""
    connection = HTTPConnection(_HOST, port, timeout=_TIMEOUT_SECONDS)
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def _again(abuse: Callable[[], object], *, pause: float) -> None:
    """Abuse without end. A server that hangs up is what an abuser must expect."""
    while True:
        with suppress(OSError, HTTPException):
            abuse()
        time.sleep(pause)


def _by_many(count: int, abuse: Callable[[], object], *, pause: float) -> None:
    for _ in range(count - 1):
        threading.Thread(target=_again, args=(abuse,), kwargs={"pause": pause}, daemon=True).start()
    _again(abuse, pause=pause)


def _hold(port: int, count: int, opening: bytes, piece: bytes) -> None:
    """Hold `count` connections that have sent `opening`, send a piece on each every second, replace what is closed."""
    held: list[socket.socket] = []
    while True:
        with suppress(OSError):
            while len(held) < count:
                wire = _connect(port)
                held.append(wire)
                wire.sendall(opening)
        for wire in list(held):
            try:
                wire.sendall(piece)
            except OSError:
                held.remove(wire)
                wire.close()
        time.sleep(1)


def _stream(port: int, opening: bytes, piece: bytes, count: int) -> None:
    with _connect(port) as wire:
        wire.sendall(opening)
        for _ in range(count):
            wire.sendall(piece)


def long_header(port: int) -> None:
    """One header of 100 MB, again and again."""
    _again(lambda: _stream(port, b"GET /status HTTP/1.1\r\nHost: x\r\nX: ", _MEGABYTE, 100), pause=0.2)


def slow_headers(port: int) -> None:
    """300 connections that send a byte of a header each second."""
    _hold(port, 300, b"GET /status HTTP/1.1\r\nHost: x\r\nX: ", b"x")


def half_bodies(port: int) -> None:
    """300 connections that have sent half of a body."""
    _hold(port, 300, b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500, b"")


def idle_connections(port: int) -> None:
    """900 connections that send nothing."""
    _hold(port, 900, b"", b"")


def large_bodies(port: int) -> None:
    """Bodies of 100 MB."""
    opening = b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n"
    _again(lambda: _stream(port, opening, _MEGABYTE, 100), pause=0.2)


def endless_chunks(port: int) -> None:
    """Chunked bodies of one byte a chunk, with long extensions."""
    opening = b"POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = (b"1;" + b"x" * 8000 + b"\r\nx\r\n") * 100
    _again(lambda: _stream(port, opening, piece, 100), pause=0.2)


def logins(port: int) -> None:
    """40 wrong logins at a time."""

    def login() -> None:
        connection = HTTPConnection(_HOST, port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", "/console/login")
            answer = connection.getresponse()
            answer.read()
            cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
            form = f"csrfmiddlewaretoken={cookie.partition('=')[2]}&username=u{random.random()}&password=wrong"
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
            connection.request("POST", "/console/login", form, headers)
            connection.getresponse().read()
        finally:
            connection.close()

    _by_many(40, login, pause=0.5)


def unknown_tokens(port: int) -> None:
    """Calls with tokens that do not exist, 80 a second."""
    _by_many(8, lambda: _call(port, "GET", "/jobs", token=f"lsu_{random.getrandbits(200):x}"), pause=0.1)


def one_flood(port: int) -> None:
    """One person's jobs, 80 a second, of which most are over the limit."""
    token = os.environ["ABUSE_USER"]
    order = {"agent": "abused", "message": "date", "ttl": 900}
    _by_many(8, lambda: _call(port, "POST", "/jobs", order, token=token), pause=0.1)


def costly_expression(port: int) -> None:
    """A job whose output is compared by an expression made to be dear, reported again and again."""
    user, agent = os.environ["ABUSE_USER"], os.environ["ABUSE_AGENT"]
    rows = ["".join(random.choices("ab", k=999)) for _ in range(260)]
    numbers = itertools.count()

    def abuse() -> None:
        watch = {"when": "change", "mode": "diff", "name": "w", "ignore": [".*a.{90}b.{90}c"]}
        order = {"agent": "abused", "message": "date", "ttl": 900, "notify": watch}
        _call(port, "POST", "/jobs", order, token=user)
        connection = HTTPConnection(_HOST, port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", "/agent/job", headers={"Authorization": f"Bearer {agent}"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status == 200:
            rows[next(numbers) % len(rows)] = "".join(random.choices("ab", k=999))
            report = {"result": "\n".join(rows)}
            _call(port, "PUT", f"/agent/jobs/{json.loads(text)['id']}/succeed", report, token=agent)

    _again(abuse, pause=0.5)


def deep_json(port: int) -> None:
    """Bodies of 60 kB of brackets."""
    body = b'{"agent": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    _by_many(4, lambda: _call(port, "POST", "/jobs", body, token=os.environ["ABUSE_USER"]), pause=0.1)


def dear_schedules(port: int) -> None:
    """Previews of schedules whose next moment is far away."""
    body = {"cron": "59 59 23 29 2 ? 2096", "timezone": "Asia/Shanghai"}
    _by_many(4, lambda: _call(port, "POST", "/schedules/preview", body, token=os.environ["ABUSE_USER"]), pause=0.1)


ABUSES = {
    abuse.__name__: abuse
    for abuse in (
        long_header,
        slow_headers,
        half_bodies,
        idle_connections,
        large_bodies,
        endless_chunks,
        logins,
        unknown_tokens,
        one_flood,
        costly_expression,
        deep_json,
        dear_schedules,
    )
}

if __name__ == "__main__":
    ABUSES[sys.argv[1]](int(sys.argv[2]))
