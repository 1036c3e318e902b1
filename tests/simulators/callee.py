"""The receiver of pushes in the simulator's own tests: it keeps the requests and answers as the test sets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One request."""

    method: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Taken], tuple[int, bytes]]


class Callee(ThreadingHTTPServer):
    """The server. `answer` may be changed at any time; it runs in the request's thread."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/callback?from=platform"
        self.taken: list[Taken] = []
        self.answer: Answer = lambda _taken: (200, b"success")

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator[Callee]:
        """Listen until the block ends."""
        with cls() as callee:
            thread = threading.Thread(target=callee.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield callee
            finally:
                callee.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Callee

    def _take(self) -> None:
        taken = Taken(
            method=self.command,
            query=dict(parse_qsl(urlsplit(self.path).query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        self.server.taken.append(taken)
        status, body = self.server.answer(taken)
        try:
            self.send_response(status)
            if body.startswith(b"{"):
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            return  # The platform has disconnected, which some tests provoke.

    do_GET = do_POST = _take

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
