"""The product as real processes, each with a wall clock of its own that the test can set wrong.

All times that are compared here are monotonic, which is one true clock for all processes of the machine.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.clocks.shift import ShiftedClock
from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT, PrivateServer
from tests.up.instance import clean_environment
from tests.waiting import until

PARTS = ("web", "worker", "beat", "courier", "agent")
_COMMAND = ROOT / "tests" / "faults" / "command.py"
_CELERY = (sys.executable, "-m", "celery", "-A", "letserver")
_START_SECONDS = 60.0


class Sink:
    """A server for callbacks: `arrivals` are (monotonic time, id of the delayed job)."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[float, str]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                sink.arrivals.append((time.monotonic(), body["id"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/due"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


class Rig:
    """Web, worker, beat, courier and agent. `shifts`: the wrong clocks, by part, under which they start."""

    def __init__(self, lane: Lane, name: str, *, shifts: Mapping[str, float] | None = None) -> None:
        self._stack = ExitStack()
        folder = lane.folder / f"{name}-clocks"
        folder.mkdir(mode=0o700)
        self.folder = folder
        self.clocks = {part: ShiftedClock(folder / part) for part in PARTS}
        for part, seconds in (shifts or {}).items():
            self.clocks[part].set(seconds)
        self.sink = Sink()
        self._stack.callback(self.sink.close)
        settings = {"LETSERVER_OUTBOUND_ALLOW": "127.0.0.0/8", "LETSERVER_OUTBOUND_HTTP": "on"}
        self.web = LiveServer(lane, name, gateway=True, **settings, **self.clocks["web"].environment)
        self._stack.callback(self.web.close)
        login = json.dumps({"username": "admin", "password": "a password of clocks"})
        said = self.web.manage("first_start", stdin=login)
        self._token = json.loads(said)["user_token"]
        self._processes: dict[str, PrivateServer] = {}
        self._launch: dict[str, Callable[[], PrivateServer]] = {
            "worker": lambda: self._celery("worker", "worker", "--concurrency", "1"),
            "courier": lambda: self._celery(
                "courier", "worker", "-Q", "deliveries", "--pool", "threads", "--concurrency", "4", "-n", "courier@%h"
            ),
            "beat": lambda: self._celery("beat", "beat", "--pidfile", ""),
            "agent": self._agent,
        }
        for part in self._launch:
            self.start(part)
        until(lambda: all(" ready." in self.log(part) for part in ("worker", "courier")), seconds=_START_SECONDS)
        until(self._agent_is_online, seconds=_START_SECONDS)
        self._wait_for_a_tick()

    def start(self, part: str) -> None:
        """Start a part that does not run."""
        self._processes[part] = self._launch[part]()

    def restart(self, parts: Sequence[str]) -> None:
        """Start these again; return when they work."""
        for part in parts:
            self.web.stop() if part == "web" else self._processes[part].stop()
        before = {part: self.log(part).count(" ready.") for part in parts if part != "web"}
        if "web" in parts:
            self.web.start()
        for part in before:
            self.start(part)
        for part in {"worker", "courier"} & before.keys():
            until(lambda part=part: self.log(part).count(" ready.") > before[part], seconds=_START_SECONDS)
        until(self._agent_is_online, seconds=_START_SECONDS)
        if "beat" in before:
            self._wait_for_a_tick()

    def set_clocks(self, parts: Sequence[str], seconds: float) -> None:
        """Shift the clocks of these parts by so much, all at once; 0 sets them right."""
        for part in parts:
            self.clocks[part].set(seconds)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make one call as the owner; return (status, body)."""
        status, answer, _headers = self.web.call(method, path, body, self._token)
        return status, answer

    def runs(self) -> list[tuple[float, str]]:
        """Return (monotonic time, job id) of every command that the agent has started."""
        file = self.folder / "runs.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [(line["t"], line["id"]) for line in lines if line["do"] == "started"]

    def log(self, part: str) -> str:
        """Return the log of a part."""
        return self.web.log_text() if part == "web" else self._processes[part].log_text()

    def close(self) -> None:
        """End everything."""
        for process in self._processes.values():
            process.kill()
        self._stack.close()

    def _celery(self, part: str, *words: str) -> PrivateServer:
        quiet = ["--without-mingle", "--without-gossip"] if "worker" in words else []
        return self._process(part, [*_CELERY, *words, "--loglevel", "INFO", *quiet], self.web.environment)

    def _agent(self) -> PrivateServer:
        configuration = self.folder / "skadi.yml"
        if not configuration.exists():
            status, agent = self.call("POST", "/agents", {"name": "timed"})
            assert status == 201, agent
            lines = [f'token: "{agent["token"]}"', f"server: {self.web.base}", "templates:", "  - name: work"]
            command = f"{sys.executable} -I -S {_COMMAND} {self.folder / 'runs.jsonl'} timed %s %s"
            configuration.touch(mode=0o600)
            configuration.write_text("\n".join([*lines, f'    temp: "{command}"']) + "\n", encoding="utf-8")
        environment = {**clean_environment(), "SKADI_STATE_DIR": str(self.folder / "state")}
        command_line = [sys.executable, "-m", "tests.faults.agent", "--config", str(configuration)]
        return self._process("agent", command_line, environment)

    def _process(self, part: str, command: Sequence[str], environment: dict[str, str]) -> PrivateServer:
        environment = {**environment, **self.clocks[part].environment}
        return PrivateServer(command, folder=ROOT, log=Path(self.folder / f"{part}.log"), environment=environment)

    def _wait_for_a_tick(self) -> None:
        """Return when a due job has fired: starting takes time, which does not count as lateness of the clock."""
        status, row = self.call("POST", "/delayed-jobs", {"url": self.sink.url, "message": "probe", "delay": 1})
        assert status == 201, row
        until(lambda: any(post == row["id"] for _at, post in self.sink.arrivals), seconds=_START_SECONDS)

    def _agent_is_online(self) -> bool:
        status, agents = self.call("GET", "/agents")
        return status == 200 and any(agent["online"] for agent in agents["items"])
