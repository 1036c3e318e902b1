"""A server for the agent: real HTTP on loopback, with the answers of docs/wire/agent.json.

A test sets everything beyond the plain exchange. `whoami_replies`, `poll_replies`, `report_replies`, `ack_replies` and
`beat_replies` are consumed before the normal answers. Each is a status, or a function that gets the handler and writes
any bytes. With `protocol` 1 it is a server without acknowledgements and beats; with 2 it keeps offers, leases and
cancels in `offered`, as the server does.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WIRE = json.loads((Path(__file__).parents[2] / "docs" / "wire" / "agent.json").read_text(encoding="utf-8"))
EXCHANGES = {exchange["name"]: exchange for exchange in WIRE["exchanges"]}

Reply = int | tuple[int, dict[str, str]] | Callable[["Handler"], None]


def answer_of(name: str, **values: str) -> tuple[int, dict[str, Any] | None]:
    """Return status and body of an exchange of the contract, with its placeholders filled in."""
    response = EXCHANGES[name]["response"]
    if "error" in response:
        return response["status"], {"error": response["error"], "message": "a sentence"}
    if "body" not in response:
        return response["status"], None
    text = json.dumps(response["body"])
    for key, value in values.items():
        text = text.replace("{" + key + "}", value)
    return response["status"], json.loads(text)


@dataclass
class Offered:
    """A job under protocol 2. `until` is monotonic: the end of the time to acknowledge it, later of its lease."""

    message: str
    offer: int = 0
    status: str = "queuing"
    until: float = 0.0
    cancel: bool = False


class FakeServer(ThreadingHTTPServer):
    """`add` adds jobs. The lists keep the polls, acknowledgements, beats, reports and heartbeats that arrive."""

    daemon_threads = True

    def __init__(self, token: str = "a" * 20, hold: bool = False, port: int = 0, protocol: int = 1) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.token = token
        self.hold = hold
        self.protocol = protocol
        self.lease_s = 6.0
        self.ack_s = 20.0
        self.offered: dict[str, Offered] = {}
        self.acks: list[tuple[float, str, int, int]] = []
        self.beats: list[tuple[float, list[dict[str, Any]]]] = []
        self.whoami_replies: deque[Reply] = deque()
        self.introductions = 0
        self.ack_replies: deque[Reply] = deque()
        self.beat_replies: deque[Reply] = deque()
        self.jobs: deque[tuple[str, str]] = deque()
        self.poll_replies: deque[Reply] = deque()
        self.report_replies: deque[Reply] = deque()
        self.running_reply = answer_of("still running")
        self.polls: list[tuple[float, str, dict[str, str]]] = []
        self.attempts: list[tuple[float, str, str]] = []
        self.reports: dict[str, tuple[str, dict[str, Any]]] = {}
        self.keys: dict[str, str] = {}
        self.taken: list[tuple[str, str]] = []
        self.signs: list[str] = []
        self.logs: dict[str, bytearray] = {}
        self.log_times: list[tuple[float, str]] = []
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

    def cancel(self, job_id: str) -> None:
        """Cancel a job, as `POST /jobs/{id}/cancel` does."""
        with self.changed:
            job = self.offered[job_id]
            job.cancel = True
            if job.status in ("queuing", "sent"):
                job.status = "canceled"
            self.changed.notify_all()

    def withdraw(self, job_id: str) -> None:
        """End the time to acknowledge a job now, so that it is offered again."""
        with self.changed:
            self.offered[job_id].until = 0.0
            self.changed.notify_all()

    def _offer_again(self) -> None:
        """Put jobs that were not acknowledged in time back to the head of the queue."""
        for job_id, job in self.offered.items():
            if job.status == "sent" and time.monotonic() > job.until:
                job.status = "queuing"
                self.jobs.appendleft((job_id, job.message))

    def acknowledge(self, job_id: str, offer: int) -> tuple[int, dict[str, Any] | None]:
        """Return status and body of the answer to an acknowledgement."""
        with self.changed:
            self._offer_again()
            job = self.offered.get(job_id)
            if job is None:
                answer = answer_of("a report on a job that is not there")
            elif job.status in ("sent", "running") and job.offer == offer and not job.cancel:
                job.status, job.until = "running", time.monotonic() + self.lease_s
                answer = answer_of("acknowledged")
            elif job.cancel:
                answer = answer_of("acknowledged, but its owner took it back")
            else:
                answer = answer_of("an offer that does not hold any more")
            self.acks.append((time.monotonic(), job_id, offer, answer[0]))
        return answer

    def beat(self, running: list[dict[str, Any]], wait: float, gone: Callable[[], bool]) -> dict[str, Any]:
        """Return the answer to a beat, held until one of its jobs is canceled."""
        until = time.monotonic() + wait
        with self.changed:
            self.beats.append((time.monotonic(), running))
            jobs = {one["id"]: self.offered[one["id"]] for one in running if one["id"] in self.offered}
            for job in jobs.values():
                if job.status == "running":
                    job.until = time.monotonic() + self.lease_s
            while True:
                cancel = [job_id for job_id, job in jobs.items() if job.cancel and job.status == "running"]
                if cancel or self.closing or time.monotonic() >= until or gone():
                    return (answer_of("a beat")[1] or {}) | {"cancel": cancel, "lease_s": self.lease_s}
                self.changed.wait(0.05)

    def end(self, job_id: str, kind: str, body: dict[str, Any]) -> bool:
        """Take the end of a job. Return False if it has another end already."""
        with self.changed:
            before = self.reports.get(job_id)
            if before is not None:
                return self.protocol == 2 and before[0] == kind
            self.reports[job_id] = (kind, body)
            if job_id in self.offered:
                self.offered[job_id].status = "ended"
            return True

    def next_job(self, wait: float, gone: Callable[[], bool]) -> tuple[str, str] | None:
        """Return a job, or None after `wait` seconds. A poll whose agent is gone gets None."""
        until = time.monotonic() + wait
        with self.changed:
            self.waiting += 1
            try:
                while not self._ready() and not self.closing and time.monotonic() < until and not gone():
                    self.changed.wait(0.05)
                if not self._ready() or self.closing or gone():
                    return None
                job = self.jobs.popleft()
                self.taken.append(job)
                offered = self.offered.setdefault(job[0], Offered(job[1]))
                offered.status, offered.offer = "sent", offered.offer + 1
                offered.until = time.monotonic() + self.ack_s
                return job
            finally:
                self.waiting -= 1

    def _ready(self) -> bool:
        if self.protocol == 2:
            self._offer_again()
        return bool(self.jobs)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback: tests kill agents and cut connections on purpose."""

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
        """Log nothing."""

    def answer(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if self.server.protocol == 2 and self.headers.get("Skadi-Protocol") == "2":
            self.send_header("Skadi-Protocol", "2")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def raw(self, data: bytes) -> None:
        """Send bytes as they are, and end the connection."""
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
        except (BlockingIOError, ValueError):  # a TLS socket cannot peek
            return False
        except OSError:
            return True

    def _whoami(self) -> None:
        self.server.introductions += 1
        if self._canned(self.server.whoami_replies):
            return
        if self.server.protocol == 1:
            self.answer(404, {"error": "NotFound", "message": "a sentence"})
        elif self._authorized():
            self.answer(*answer_of("who am I"))

    def do_GET(self) -> None:
        if self.path == "/agent/whoami":
            self._whoami()
            return
        self.server.polls.append((time.monotonic(), self.path, dict(self.headers)))
        if self._canned(self.server.poll_replies) or not self._authorized():
            return
        wait = float(self.path.partition("wait=")[2] or 0) if self.server.hold else 0.0
        job = self.server.next_job(wait, self._gone)
        if job is None:
            self.answer(*answer_of("nothing to do"))
            return
        name = "an offer, to an agent of protocol 2" if self.server.protocol == 2 else "a job"
        status, body = answer_of(name, job_id=job[0])
        assert body is not None
        body["message"] = job[1]
        if self.server.protocol == 2:
            offer = self.server.offered[job[0]].offer
            body.update(offer=offer, lease_s=self.server.lease_s, ack_s=self.server.ack_s)
        self.answer(status, body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self._canned(self.server.beat_replies) or not self._authorized():
            return
        if self.server.protocol == 1 or not self.path.startswith("/agent/beat"):
            self.answer(404, {"error": "NotFound", "message": "a sentence"})
            return
        wait = float(self.path.partition("wait=")[2] or 0) if self.server.hold else 0.0
        self.answer(200, self.server.beat(body["running"], wait, self._gone))

    def _log(self) -> None:
        """Take a chunk of a log, and keep the time of its arrival."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        job_id, offset = self.path.split("/")[3], int(self.path.rpartition("=")[2])
        log = self.server.logs.setdefault(job_id, bytearray())
        if offset <= len(log):
            log += data[len(log) - offset :]
        self.server.log_times.append((time.monotonic(), job_id))
        self.answer(204, headers={"Skadi-Log-Offset": str(len(log))})

    def do_PUT(self) -> None:
        if "/log?offset=" in self.path:
            self._log()
            return
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        _, _, _, job_id, kind = self.path.split("/")
        if kind == "running" and self.server.protocol == 2 and body.get("ack"):
            if not self._canned(self.server.ack_replies) and self._authorized():
                self.answer(*self.server.acknowledge(job_id, body["offer"]))
            return
        if kind == "running":
            self.server.signs.append(job_id)
            if self.server.protocol == 2 and self.server.offered[job_id].cancel:
                self.answer(409, {"error": "JobCanceled", "message": "a sentence"})
                return
            self.answer(*self.server.running_reply)
            return
        self.server.attempts.append((time.monotonic(), job_id, kind))
        if self._canned(self.server.report_replies) or not self._authorized():
            return
        if not self.server.end(job_id, kind, body):
            self.answer(*answer_of("a second end of the same job"))
            return
        self.server.keys[job_id] = self.headers.get("Idempotency-Key", "")
        self.answer(*answer_of("done" if kind == "succeed" else "failed"))
