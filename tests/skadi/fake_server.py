"""A server for the agent to talk to: a real one on loopback that plays the answers of docs/wire/agent.json.

What it does beyond the plain exchange is set by the test: `poll_replies` and `report_replies` are consumed before the
normal answers; each is a status, or a function that gets the handler and writes whatever bytes it likes.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WIRE = json.loads((Path(__file__).parents[2] / "docs" / "wire" / "agent.json").read_text(encoding="utf-8"))
EXCHANGES = {exchange["name"]: exchange for exchange in WIRE["exchanges"]}

Reply = int | tuple[int, dict[str, str]] | Callable[["Handler"], None]


def answer_of(name: str, **values: str) -> tuple[int, dict[str, Any] | None]:
    """Status and body of an exchange of the contract, its placeholders filled in."""
    response = EXCHANGES[name]["response"]
    if "error" in response:
        return response["status"], {"error": response["error"], "message": "a sentence"}
    if "body" not in response:
        return response["status"], None
    text = json.dumps(response["body"])
    for key, value in values.items():
        text = text.replace("{" + key + "}", value)
    return response["status"], json.loads(text)


class FakeServer(ThreadingHTTPServer):
    """Jobs go in with `add`; polls, reports and signs of life come out."""

    daemon_threads = True

    def __init__(self, token: str = "a" * 20, hold: bool = False, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.token = token
        self.hold = hold
        self.jobs: deque[tuple[str, str]] = deque()
        self.poll_replies: deque[Reply] = deque()
        self.report_replies: deque[Reply] = deque()
        self.running_reply = answer_of("still running")
        self.polls: list[tuple[float, str, dict[str, str]]] = []
        self.attempts: list[tuple[float, str, str]] = []
        self.reports: dict[str, tuple[str, dict[str, Any]]] = {}
        self.taken: list[tuple[str, str]] = []
        self.signs: list[str] = []
        self.changed = threading.Condition()
        self.waiting = 0
        self.closing = False
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, message: str, job_id: str | None = None) -> str:
        with self.changed:
            job_id = job_id or f"job-{len(self.taken) + len(self.jobs)}-{time.monotonic_ns()}"
            self.jobs.append((job_id, message))
            self.changed.notify_all()
        return job_id

    def next_job(self, wait: float, gone: Callable[[], bool]) -> tuple[str, str] | None:
        """A job, or None after `wait` seconds; a poll whose agent is gone gets none."""
        until = time.monotonic() + wait
        with self.changed:
            self.waiting += 1
            try:
                while not self.jobs and not self.closing and time.monotonic() < until and not gone():
                    self.changed.wait(0.05)
                if not self.jobs or self.closing or gone():
                    return None
                job = self.jobs.popleft()
                self.taken.append(job)
                return job
            finally:
                self.waiting -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Agents are killed and connections cut on purpose here: not worth a traceback."""

    def stop(self) -> None:
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.shutdown()
        self.server_close()
        self.thread.join(5)


class Handler(BaseHTTPRequestHandler):
    """One connection of an agent."""

    server: FakeServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def answer(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def raw(self, data: bytes) -> None:
        """Bytes as they are, and the end of the connection."""
        self.wfile.write(data)
        self.cut()

    def cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _canned(self, replies: deque[Reply]) -> bool:
        try:
            reply = replies.popleft()
        except IndexError:
            return False
        if callable(reply):
            reply(self)
        elif isinstance(reply, tuple):
            self.answer(reply[0], {"error": "Some", "message": "thing"}, reply[1])
        elif reply == 204:
            self.answer(204)
        else:
            self.answer(reply, {"error": "Some", "message": "thing"})
        return True

    def _authorized(self) -> bool:
        given = self.headers.get("Authorization", "")
        if given == f"Bearer {self.server.token}":
            return True
        self.answer(*answer_of("an unknown token" if given.startswith("Bearer ") else "no header"))
        return False

    def _gone(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except (BlockingIOError, ValueError):  # TLS sockets cannot be looked into
            return False
        except OSError:
            return True

    def do_GET(self) -> None:
        self.server.polls.append((time.monotonic(), self.path, dict(self.headers)))
        if self._canned(self.server.poll_replies) or not self._authorized():
            return
        wait = float(self.path.partition("wait=")[2] or 0) if self.server.hold else 0.0
        job = self.server.next_job(wait, self._gone)
        if job is None:
            self.answer(*answer_of("nothing to do"))
            return
        status, body = answer_of("a job", job_id=job[0])
        assert body is not None
        self.answer(status, dict(body, message=job[1]))

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        _, _, _, job_id, kind = self.path.split("/")
        if kind == "running":
            self.server.signs.append(job_id)
            self.answer(*self.server.running_reply)
            return
        self.server.attempts.append((time.monotonic(), job_id, kind))
        if self._canned(self.server.report_replies) or not self._authorized():
            return
        if job_id in self.server.reports:
            self.answer(*answer_of("a second end of the same job"))
            return
        self.server.reports[job_id] = (kind, body)
        self.answer(*answer_of("done" if kind == "succeed" else "failed"))
