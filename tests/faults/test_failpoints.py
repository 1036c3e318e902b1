"""Every failpoint of the server kills a process that does real work; what was promised before stands afterwards."""

from __future__ import annotations

import http.client
import itertools
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel.failpoints import POINTS, VARIABLE
from tests.faults.evidence import Journal
from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT
from tests.waiting import until

_KILLS = 20
_IN_WEB = (
    "writer.together.before_commit",
    "writer.together.after_commit",
    "writer.each_alone.before_commit",
    "writer.each_alone.after_commit",
    "put_back.before_queue",
    "put_back.after_queue",
    "answer.before_send",
    "answer.after_send",
    "flag.before_tell",
    "flag.after_tell",
    "flag.after_take",
)
_IN_SERVICES = tuple(point for point in POINTS if point not in _IN_WEB)
_DIES_WITHIN_SECONDS = 30.0
_HELD_SECONDS = 2.5
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def counts() -> Iterator[dict[str, int]]:
    """How often each point has killed; printed at the end."""
    found: dict[str, int] = {}
    yield found
    for point, count in found.items():
        print(f"failpoint {point}: {count} kills")


@pytest.fixture(scope="module")
def server(lane: Lane) -> Iterator[LiveServer]:
    """A live server of our own, without limits of calls."""
    free = dict.fromkeys(
        ("LETSERVER_USER_CALLS_A_MINUTE", "LETSERVER_AGENT_CALLS_A_MINUTE", "LETSERVER_AUTH_FAILURES_A_MINUTE"), "0"
    )
    live = LiveServer(
        lane.folder / "failpoints",
        gateway=True,
        database_url=lane.database_url("failpoints"),
        **free,
        LETSERVER_LEASE_SECONDS="2",
    )
    yield live
    live.close()


def _failing(server: LiveServer, *arguments: str, point: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.failing", *arguments],
        cwd=ROOT,
        env={**server.environment, VARIABLE: point},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def _check(server: LiveServer, journal: Path) -> None:
    done = _failing(server, "check", str(journal))
    assert done.returncode == 0, done.stdout + done.stderr


def _landed(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines()) if file.exists() else 0


def _kill_services(server: LiveServer, point: str, kills: int, folder: Path) -> int:
    """Let a process that does what leads to the point die so many times; return how often it did."""
    server.stop()
    told, journal = folder / "told", folder / "did.jsonl"
    for at in range(kills):
        done = _failing(server, "act", point, str(journal), point=f"{point}:{at % 3 + 1}:{told}")
        assert done.returncode == -signal.SIGKILL, done.stderr
    _check(server, journal)
    return _landed(told)


class _Users:
    """A submitter that repeats itself until it is answered, and an old agent that hangs up now and then."""

    def __init__(self, server: LiveServer, journal: Path, *, hangs_up: bool, blocks: bool) -> None:
        self.server, self.hangs_up, self.blocks = server, hangs_up, blocks
        self.user_token = server.manage("create_token", f"user{next(_numbers)}").strip()
        status, agent, _ = server.call("POST", "/agents", {"name": f"a-{next(_numbers)}"}, token=self.user_token)
        assert status == 201, agent
        self.agent, self.agent_token = agent["name"], agent["token"]
        self.journal = Journal(journal)
        self.open, self.ended = threading.Event(), threading.Event()
        self.faults: list[BaseException] = []
        self.works = (self._submit, self._work) if not blocks else (self._submit, self._work, self._block)
        self.threads = [threading.Thread(target=self._loop, args=(work,)) for work in self.works]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        """Stop, and raise what went wrong in a thread."""
        self.ended.set()
        self.open.set()
        for thread in self.threads:
            thread.join()
        self.journal.close()
        if self.faults:
            raise self.faults[0]

    def _loop(self, work: Callable[[], None]) -> None:
        try:
            while not self.ended.is_set():
                work()
        except BaseException as error:
            self.faults.append(error)

    def _ask(self, method: str, path: str, body: object, token: str, **headers: str) -> tuple[int, object]:
        """Ask again until somebody answers and it is not a 503."""
        while not self.ended.is_set():
            self.open.wait()
            try:
                status, answer, _ = self.server.call(method, path, body, token=token, headers=headers, timeout=4)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if status != 503:
                return status, answer
            time.sleep(0.1)
        return 0, None

    def _submit(self) -> None:
        wish = {"agent": self.agent, "message": f"do {next(_numbers)}", "ttl": 3600}
        status, job = self._ask("POST", "/jobs", wish, self.user_token, **{"Idempotency-Key": wish["message"]})
        if status:
            assert status == 201, job
            assert isinstance(job, dict)
            self.journal.note("job", id=job["id"])
        time.sleep(0.02)

    def _work(self) -> None:
        if self.hangs_up and random.random() < 0.8:
            self._hang_up()
            return
        status, job = self._ask("GET", "/agent/job", None, self.agent_token)
        if status == 200:
            assert isinstance(job, dict)
            status, answer = self._ask("PUT", f"/agent/jobs/{job['id']}/succeed", {"result": "ok"}, self.agent_token)
            if status == 204:
                self.journal.note("ended", id=job["id"], status="succeeded")
            else:
                assert status in (0, 400), answer  # taken before, and the answer was lost
        else:
            assert status in (0, 204), job
            time.sleep(0.02)

    def _hang_up(self) -> None:
        """Poll, and be gone before the answer can be."""
        self.open.wait()
        line = f"GET /agent/job HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.agent_token}\r\n\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=2) as connection:
                connection.sendall(line.encode())
                time.sleep(random.uniform(0, 0.004))
        except OSError:
            time.sleep(0.02)

    def _block(self) -> None:
        """Hold every job for longer than the writer is patient, so that its batch fails as a whole."""
        self.open.wait()
        subprocess.run(
            [sys.executable, "-m", "tests.faults.failing", "hold", str(_HELD_SECONDS)],
            cwd=ROOT,
            env={**self.server.environment, VARIABLE: ""},
            check=True,
        )
        self.ended.wait(1)


def _kill_web(server: LiveServer, point: str, kills: int, folder: Path) -> int:
    """Let the web process die so many times under its users; return how often it did."""
    told, journal = folder / "told", folder / "did.jsonl"
    server.environment[VARIABLE] = ""
    server.restart()
    users = _Users(server, journal, hangs_up=point.startswith("put_back"), blocks="each_alone" in point)
    try:
        for at in range(kills):
            users.open.clear()
            server.stop()
            server.environment[VARIABLE] = f"{point}:{at % 3 + 1}:{told}"
            server.start()
            users.open.set()
            until(lambda: server.pid is None or users.faults, seconds=_DIES_WITHIN_SECONDS)
        server.environment[VARIABLE] = ""
        server.start()
    finally:
        server.environment[VARIABLE] = ""
        users.end()
    _check(server, journal)
    return _landed(told)


def _kill(server: LiveServer, point: str, kills: int, folder: Path) -> int:
    return (_kill_web if point in _IN_WEB else _kill_services)(server, point, kills, folder)


@pytest.mark.mariadb_only  # SQLite has the long form: both lanes share ten minutes
@pytest.mark.parametrize(
    "point",
    ["writer.together.before_commit", "writer.together.after_commit", "alone.after_commit", "overdue.before_commit"],
)
def test_a_kill_at_a_joint_breaks_no_promise(server: LiveServer, point: str, tmp_path: Path) -> None:
    assert _kill(server, point, 1, tmp_path) == 1


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
def test_twenty_kills_at_every_point_break_no_promise(
    server: LiveServer, point: str, tmp_path: Path, counts: dict[str, int]
) -> None:
    counts[point] = _kill(server, point, _KILLS, tmp_path)
    assert counts[point] == _KILLS
