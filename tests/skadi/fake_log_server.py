"""A server for logs and for `skadi run`: real HTTP on loopback, one job, and answers that a test sets."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

JOB = "0199aaaa-0000-7000-8000-000000000001"
Canned = tuple[int, dict[str, str]] | None  # None ends the connection without an answer


class LogServer(ThreadingHTTPServer):
    """The calls that arrived, and one job that a test advances with `print` and `end`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.log = b""
        self.calls: list[tuple[float, str, str]] = []
        self.puts: list[tuple[int, bytes, bool]] = []
        self.wires: list[int] = []
        self.keys: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.replies: deque[Canned] = deque()
        self.lost_posts = 0
        self.made: dict[str, str] = {}
        self.status = "queuing"
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.reason = ""
        self.complete = False
        self.ends_on_cancel = True
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def print(self, text: str) -> None:
        with self.changed:
            self.log += text.encode()
            self.status = "running"
            self.changed.notify_all()

    def end(
        self, status: str = "succeeded", exit_code: int | None = 0, signal: int | None = None, reason: str = ""
    ) -> None:
        with self.changed:
            self.status, self.exit_code, self.signal, self.reason = status, exit_code, signal, reason
            self.complete = True
            self.changed.notify_all()

    def stop(self) -> None:
        self.end()
        self.shutdown()
        self.server_close()
        self.thread.join(5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback: tests kill clients and cut connections on purpose."""


class Handler(BaseHTTPRequestHandler):
    server: LogServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def answer(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Skadi-Protocol", "2")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _begin(self) -> bytes | None:
        """Return the body, or None if a prepared answer was sent."""
        server = self.server
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.calls.append((time.monotonic(), self.command, self.path))
        server.tokens.add(self.headers.get("Authorization", ""))
        try:
            canned = server.replies.popleft()
        except IndexError:
            return raw
        if canned is None:
            self.close_connection = True
        else:
            self.answer(canned[0], {"error": "Some", "message": "a sentence"}, canned[1])
        return None

    def do_PUT(self) -> None:
        raw = self._begin()
        if raw is None:
            return
        server = self.server
        offset = int(parse_qs(urlsplit(self.path).query)["offset"][0])
        zipped = self.headers.get("Content-Encoding") == "gzip"
        data = gzip.decompress(raw) if zipped else raw
        data.decode("utf-8")
        server.puts.append((offset, data, zipped))
        server.wires.append(len(raw))
        if offset <= len(server.log):
            server.log += data[len(server.log) - offset :]
        self.answer(204, headers={"Skadi-Log-Offset": str(len(server.log))})

    def do_POST(self) -> None:
        raw = self._begin()
        if raw is None:
            return
        server = self.server
        if self.path.endswith("/cancel"):
            self.answer(200, {"id": JOB})
            if server.ends_on_cancel:
                server.print("last words\n")
                server.end("canceled", None)
            return
        key = self.headers["Idempotency-Key"]
        server.keys.append(key)
        server.bodies.append(json.loads(raw))
        server.made.setdefault(key, JOB)
        if server.lost_posts:
            server.lost_posts -= 1
            self.close_connection = True
            return
        self.answer(201, {"id": server.made[key], "status": "queuing"})

    def do_GET(self) -> None:
        if self._begin() is None:
            return
        server = self.server
        url = urlsplit(self.path)
        if not url.path.endswith("/log"):
            output = {"signal": server.signal, "reason": server.reason, "text": "", "exit_code": server.exit_code}
            self.answer(200, {"id": JOB, "status": server.status, "output": output})
            return
        query = parse_qs(url.query)
        offset, until = int(query["offset"][0]), time.monotonic() + float(query["wait"][0])
        with server.changed:
            while len(server.log) <= offset and not server.complete and time.monotonic() < until:
                server.changed.wait(until - time.monotonic())
            text = server.log[offset:].decode()
            body = {
                "offset": offset,
                "next": len(server.log),
                "text": text,
                "complete": server.complete,
                "status": server.status,
                "exit_code": server.exit_code,
            }
        self.answer(200, body)
