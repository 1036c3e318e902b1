"""The cost of one connection, or of many: bytes and seconds of headers and bodies, idle time, places."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from letserver import protocol
from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer

pytestmark = [pytest.mark.sqlite_only, pytest.mark.timeout(120)]

_HEAD = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_POST = b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_CLOSED_AFTER = protocol.HEAD_SECONDS + 5
_MEGABYTE = b"x" * 2**20


@pytest.fixture(scope="module")
def server(lane: Lane) -> Iterator[LiveServer]:
    """A server of its own, because its memory is measured."""
    server = LiveServer(lane, "bounded", gateway=True)
    yield server
    server.close()


def connect(server: LiveServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=_CLOSED_AFTER)


def answer(wire: socket.socket) -> tuple[int, str]:
    """Read until the server hangs up; return status and code of the error, (0, "") if it said nothing."""
    received = b""
    with suppress(OSError):
        while piece := wire.recv(65536):
            received += piece
    head, _gap, body = received.partition(b"\r\n\r\n")
    return (int(head.split()[1]), json.loads(body)["error"]) if head else (0, "")


def flood(server: LiveServer, opening: bytes, piece: bytes, count: int) -> tuple[int, int, str]:
    """Send until the server refuses; return how many pieces it took, and its answer."""
    with connect(server) as wire:
        wire.sendall(opening)
        sent = 0
        with suppress(OSError):
            while sent < count:
                wire.sendall(piece)
                sent += 1
                wire.setblocking(False)
                with suppress(BlockingIOError):
                    if wire.recv(1, socket.MSG_PEEK):
                        break
                wire.settimeout(_CLOSED_AFTER)
        wire.settimeout(_CLOSED_AFTER)
        return sent, *answer(wire)


def memory(server: LiveServer) -> int:
    """Return the megabytes that the server holds."""
    pages = int(Path(f"/proc/{server.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() // 2**20


def assert_well(server: LiveServer) -> None:
    assert server.call("GET", "/status", timeout=2)[0] == 204


@pytest.mark.parametrize(
    ("opening", "piece", "refused"),
    [
        (_HEAD + b"X: ", _MEGABYTE, "HeadTooLarge"),
        (_HEAD, b"X: y\r\n" * 50, "HeadTooLarge"),
        (b"GET /" + b"x" * 1000, _MEGABYTE, "HeadTooLarge"),
        (b"", b"\r\n" * 1000, "HeadTooLarge"),
        (_POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 8000 + b"\r\nx\r\n", "HeadTooLarge"),
        (_POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + b"y" * 8000 + b"\r\n", "HeadTooLarge"),
    ],
    ids=["one header", "many headers", "path", "empty lines", "chunk extensions", "trailers"],
)
def test_a_head_without_end_is_refused_at_once(server: LiveServer, opening: bytes, piece: bytes, refused: str) -> None:
    before = memory(server)
    sent, status, code = flood(server, opening, piece, 100_000_000 // len(piece))
    assert (status, code) in {(431, refused), (0, ""), (401, "Unauthorized"), (400, "InvalidToken")}
    assert sent * len(piece) < 20_000_000
    assert memory(server) - before < 20
    assert_well(server)


def test_the_limit_of_headers_leaves_room_for_ordinary_requests(server: LiveServer) -> None:
    for count, status in ((protocol.HEADERS_LIMIT - 2, 204), (protocol.HEADERS_LIMIT + 1, 431)):
        with connect(server) as wire:
            wire.sendall(_HEAD + b"Connection: close\r\n" + b"X: y\r\n" * count + b"\r\n")
            assert int(wire.recv(100).split()[1]) == status, count


def test_slow_requests_are_cut_off_and_do_not_keep_others_waiting(server: LiveServer) -> None:
    beginnings = {
        b"GET /sta": (408, "SlowRequest"),
        _HEAD + b"X: ": (408, "SlowRequest"),
        # The gateway's own limit for a body may be first.
        _POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 500: (408, "SlowRequest"),
        _POST + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\nxxx": (408, "SlowRequest"),
    }
    with ExitStack() as stack:
        wires = []
        for beginning, wanted in beginnings.items():
            for _ in range(10):
                wire = stack.enter_context(connect(server))
                wire.sendall(beginning)
                wires.append((beginning, wanted, wire))
        began = time.monotonic()
        assert_well(server)
        for beginning, wanted, wire in wires:
            status, code = answer(wire)
            assert (status, code) in {wanted, (400, "InvalidToken")}, beginning
        assert time.monotonic() - began < _CLOSED_AFTER + 5


def test_a_byte_a_second_does_not_keep_a_head_alive(server: LiveServer) -> None:
    with connect(server) as wire:
        wire.sendall(_HEAD + b"X: ")
        began, said = time.monotonic(), b""
        wire.settimeout(0.5)
        while not said and time.monotonic() - began < _CLOSED_AFTER:
            wire.sendall(b"x")
            with suppress(TimeoutError):
                said = wire.recv(100)
        assert said.startswith(b"HTTP/1.1 408 "), "the server waits on"


def test_requests_behind_each_other_and_in_pieces_are_answered(server: LiveServer) -> None:
    request = _HEAD + b"\r\n"
    with connect(server) as wire:
        wire.sendall(request * 3 + request[:20])
        received = b""
        while received.count(b"HTTP/1.1 204") < 3 and (piece := wire.recv(65536)):
            received += piece
        wire.sendall(request[20:])
        while received.count(b"HTTP/1.1 204") < 4 and (piece := wire.recv(65536)):
            received += piece
    assert received.count(b"HTTP/1.1 204") == 4


def test_a_held_call_outlives_the_limits_of_a_request(server: LiveServer) -> None:
    token = server.manage("create_agent", "alice", "box").split()[-1]
    with connect(server) as wire:
        wire.settimeout(60)
        held = f"GET /agent/job?wait=14 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
        # A stray line behind a request does not count as a slow request while that one waits.
        wire.sendall(held.encode() + b"\r\n")
        assert int(wire.recv(100).split()[1]) == 204


def test_the_connection_that_was_idle_longest_makes_room(server: LiveServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as stack:
            # A few more than the limit, because the server may still hold connections of the test before.
            wires = [stack.enter_context(connect(server)) for _ in range(protocol.CONNECTIONS_OF_ADDRESS + 20)]
            assert_well(server)
            wires[0].settimeout(5)
            assert wires[0].recv(1) == b""
            wires[-1].sendall(_HEAD + b"\r\n")
            assert int(wires[-1].recv(100).split()[1]) == 204
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
