"""The HTTP proxy loses and repeats the chosen messages, and forwards the others unchanged."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.webproxy import MessageFinder, WebProxy
from tests.lanes.live import free_port

pytestmark = pytest.mark.sqlite_only


class _Server(ThreadingHTTPServer):
    """Returns a job at each poll, accepts its first report and refuses later ones with the answer for old clients."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.numbers = itertools.count(1)
        self.received: list[str] = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_what: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(200, {"id": f"job-{next(self.server.numbers)}"})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.received.append(self.path)
            is_first = len(self.server.received) == 1
        self._answer(*((204, None) if is_first else (400, {"error": "JobFinished"})))

    def _answer(self, status: int, body: object) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if data:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def proxy(server: _Server) -> Iterator[WebProxy]:
    made = WebProxy(("127.0.0.1", free_port()), ("127.0.0.1", server.server_port))
    yield made
    made.close()


@pytest.fixture
def connection(proxy: WebProxy) -> Iterator[http.client.HTTPConnection]:
    assert isinstance(proxy.address, tuple)
    made = http.client.HTTPConnection(*proxy.address, timeout=5)
    yield made
    made.close()


def _ask(connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_messages_are_found_however_the_bytes_are_cut(size: int) -> None:
    stream = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\n\r\n\r\n!"
    stream += b"PUT /x HTTP/1.1\r\n\r\n"
    finder = MessageFinder()
    found = [message for at in range(0, len(stream), size) for message in finder.feed(stream[at : at + size])]
    assert [(message.start[:12], message.body) for message in found] == [
        ("HTTP/1.1 204", b""),
        ("HTTP/1.1 200", b"\r\n\r\n!"),
        ("PUT /x HTTP/", b""),
    ]
    assert b"".join(message.raw for message in found) == stream


def test_the_answer_of_a_claim_is_lost_and_no_other(proxy: WebProxy, connection: http.client.HTTPConnection) -> None:
    assert json.loads(_ask(connection, "GET", "/agent/job")[1]) == {"id": "job-1"}
    proxy.lose_claims(1.0)
    assert _ask(connection, "GET", "/jobs/x")[0] == 200
    with pytest.raises(OSError, match="reset"):
        _ask(connection, "GET", "/agent/job?wait=1")
    assert (proxy.lost, proxy.landed) == (["job-3"], 1)


def test_a_report_is_sent_three_times_and_the_contrary_one_last(
    proxy: WebProxy, server: _Server, connection: http.client.HTTPConnection
) -> None:
    proxy.replay_puts()
    original = _ask(connection, "PUT", "/agent/jobs/j/succeed", "{}")[0]
    proxy.heal()
    assert server.received == ["/agent/jobs/j/succeed"] * 3 + ["/agent/jobs/j/fail"]
    copies = [(copy.status, copy.code) for copy in proxy.replayed if not copy.contrary]
    assert sorted([original, *(status for status, _code in copies)]) == [204, 400, 400]
    assert [(copy.contrary, copy.code) for copy in proxy.replayed][-1] == (True, "JobFinished")
