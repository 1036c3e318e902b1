"""The real web server, in its own process on a free port, with its own database and Redis."""

from __future__ import annotations

import copy
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from typing import Any

from letserver.up.port import WebPort
from tests.lanes.lane import Lane
from tests.lanes.services import ROOT, PrivateRedis, PrivateServer

_START_SECONDS = 30.0
SYS_TOKEN = "of-the-upstream-program-0123456789"
"""Opens /sys on every live server."""
GATEWAY, NO_GATEWAY = "gateway-on", "gateway-off"
"""The mounts of the API. Tests use the first unless they ask for the other."""


class LiveServer:
    """`letserver.web` as started by `make up`. It keeps its port over `restart` and `kill`.

    `name` names its folder and its database, `settings` are variables beyond those of the lane.
    """

    def __init__(self, lane: Lane, name: str, *, gateway: bool, **settings: str) -> None:
        self.folder = folder = lane.folder / name
        folder.mkdir(mode=0o700)
        self.redis = PrivateRedis(folder / "redis")
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "LETSERVER_DATA": str(folder),
            "LETSERVER_DATABASE_URL": lane.migrated_database(name, data=folder),
            "LETSERVER_REDIS_URL": self.redis.url,
            "LETSERVER_PORT": str(self.port),
            "LETSERVER_PUBLIC_URL": self.base,
            "LETSERVER_GATEWAY": "on" if gateway else "off",
            "LETSERVER_SYS_TOKEN": SYS_TOKEN,
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        self._server: PrivateServer | None = None
        self.start()

    def neighbour(self, **settings: str) -> LiveServer:
        """Start another web process on the same database and Redis, on its own port. Stop it with `stop`.

        `settings` are variables beyond those of this one.
        """
        other = copy.copy(self)
        other.environment = {**self.environment, **settings}
        other.port = free_port()
        other.base = f"http://127.0.0.1:{other.port}"
        other._server = None
        other.start()
        return other

    @property
    def pid(self) -> int | None:
        """The id of the running process, None without one."""
        return self._server.process.pid if self._server and self._server.process.poll() is None else None

    def start(self) -> None:
        """Start the server unless it runs, and wait until it is ready."""
        if self.pid is not None:
            return
        listener = WebPort(host="127.0.0.1", port=self.port, shared=False).take()
        with listener:
            self._server = PrivateServer(
                [sys.executable, "-m", "letserver.web", "--fd", str(listener.fileno())],
                folder=ROOT,
                log=self.folder / "web.log",
                environment=self.environment,
                descriptors=[listener.fileno()],
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_well():
            assert self.pid is not None, self.log_text()
            assert time.monotonic() < deadline, self.log_text()
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop it with SIGTERM; return the exit code."""
        return self._server.stop() if self._server is not None else 0

    def kill(self) -> None:
        """Kill it with -9."""
        if self._server is not None:
            self._server.kill()

    def restart(self) -> None:
        """Stop it with SIGTERM and start it again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and its Redis."""
        self.stop()
        self.redis.stop()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30,
        raw: bytes | None = None,
    ) -> tuple[int, Any, Message]:
        """Return (status, body, headers). The body is parsed JSON, else text, or None if empty.

        `body` is sent as JSON, `raw` unchanged. Redirects are not followed. Raises OSError or HTTPException without an
        answer.
        """
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        sent = {"Connection": "close"}
        if data is not None:
            sent["Content-Type"] = "application/json"
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # the server does not read the rest of a refused body
                connection.request(method, path, body=data, headers={**sent, **(headers or {})})
            response = connection.getresponse()
            return response.status, _parse(response.read()), response.headers
        finally:
            connection.close()

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """Run a management command against the same database; return what it prints."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"manage.py {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def log_text(self) -> str:
        """Return the log of the web process since its first start."""
        return self._server.log_text() if self._server is not None else ""

    def _is_well(self) -> bool:
        try:
            return self.call("GET", "/status", timeout=1)[0] == 204
        except (OSError, http.client.HTTPException):
            return False


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return data.decode("utf-8", "replace")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
