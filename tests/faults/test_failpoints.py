"""Every failpoint of the server kills a process that does real work; what was promised before stands afterwards."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.failpoints import POINTS, VARIABLE
from tests.faults.journal import Journal
from tests.faults.workloads import act_for
from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT

_KILLS = 10
"""On each database: twenty in all."""
_MANY_WORKERS = 3
_SIGNS_OF_LIFE = 30
_GONE_AFTER_SECONDS = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016)


class Workshop:
    """`failpoint_runner.py` in a process of its own, against a database and a Redis of its own."""

    def __init__(self, lane: Lane) -> None:
        limits = ("LETSERVER_USER_CALLS_A_MINUTE", "LETSERVER_AGENT_CALLS_A_MINUTE", "LETSERVER_AUTH_FAILURES_A_MINUTE")
        self.server = LiveServer(
            lane,
            "failpoints",
            gateway=True,
            **dict.fromkeys(limits, "1000000"),
            LETSERVER_OUTBOUND_ALLOW="127.0.0.0/8",
        )
        self.server.stop()
        self.log = self.server.folder / "runner.log"
        with self.log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.failpoint_runner"],
                cwd=ROOT,
                env={**self.server.environment, VARIABLE: ""},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def order(self, do: str, **what: object) -> Any:
        """Have an order carried out; return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline() or '{"error": "it is gone"}')
        assert "answer" in said, f"{said['error']}\n{self.log.read_text(encoding='utf-8')[-4000:]}"
        return said["answer"]

    def close(self) -> None:
        """End it and its Redis."""
        self._process.communicate(timeout=60)
        self.server.close()


@pytest.fixture(scope="module")
def workshop(lane: Lane) -> Iterator[Workshop]:
    """One for all points."""
    shop = Workshop(lane)
    yield shop
    shop.close()


class _Users:
    """A submitter that repeats itself until it is answered, and old agents that hang up now and then."""

    def __init__(self, shop: Workshop, people: dict[str, str], folder: Path, *, point: str) -> None:
        self.server, self.hang_up = shop.server, point.startswith("put_back")
        # Of a batch that fails because it waited, only reports are tried again: be there with one.
        self.signs_of_life = _SIGNS_OF_LIFE if "one_by_one" in point else 0
        workers = _MANY_WORKERS if self.hang_up or self.signs_of_life else 1
        self.agent, self.agent_token, self.user_token = people["agent"], people["agent_token"], people["user_token"]
        self.submits, self.work = Journal(folder / "submit-1.jsonl"), Journal(folder / "old-1.jsonl")
        self.numbers = itertools.count(1)
        self.ended = threading.Event()
        self.faults: list[BaseException] = []
        works = (self._submit, *itertools.repeat(self._work, workers))
        self.threads = [threading.Thread(target=self._loop, args=(work,)) for work in works]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        """Stop, and raise what went wrong in a thread."""
        self.ended.set()
        for thread in self.threads:
            thread.join()
        self.submits.close()
        self.work.close()
        if self.faults:
            raise self.faults[0]

    def _loop(self, work: Callable[[], None]) -> None:
        try:
            while not self.ended.is_set():
                work()
        except BaseException as error:
            self.faults.append(error)

    def _ask(
        self, method: str, path: str, body: object, token: str, **headers: str
    ) -> Iterator[tuple[int | None, Any]]:
        """Ask again until somebody answers and it is not a 503, or all ends; give every answer, None for none."""
        while not self.ended.is_set():
            try:
                status, answer, _ = self.server.call(method, path, body, token=token, headers=headers, timeout=4)
            except (OSError, http.client.HTTPException):
                yield None, None
                time.sleep(0.02)
                continue
            yield status, answer
            if status != 503:
                return
            time.sleep(0.05)

    def _submit(self) -> None:
        wish = {"agent": self.agent, "message": f"do {next(self.numbers)}", "ttl": 3600}
        key = wish["message"]
        for status, job in self._ask("POST", "/jobs", wish, self.user_token, **{"Idempotency-Key": str(key)}):
            assert status in (None, 201, 503), job
            self.submits.note(
                "submit",
                key=key,
                agent=self.agent,
                message=wish["message"],
                status=status,
                id=job["id"] if status == 201 else None,
            )
        time.sleep(0.01)

    def _work(self) -> None:
        if self.hang_up and random.random() < 0.8:
            self._hang_up()
            return
        for status, job in self._ask("GET", "/agent/job", None, self.agent_token):
            if status == 200:
                self._do(job["id"])
            else:
                assert status in (None, 204, 503), job
        time.sleep(0.01)

    def _do(self, job_id: str) -> None:
        for do in ("claimed", "started", "ended"):
            self.work.note(do, agent=self.agent, id=job_id)
        for kind in (*itertools.repeat("running", self.signs_of_life), "succeed"):
            for status, answer in self._ask(
                "PUT", f"/agent/jobs/{job_id}/{kind}", {"result": job_id}, self.agent_token
            ):
                # Refused: it was taken, and the answer was lost.
                assert status in (None, 204, 400, 503), answer
                self.work.note("report", agent=self.agent, id=job_id, kind=kind, status=status, text=job_id)

    def _hang_up(self) -> None:
        """Poll, and be gone before the answer can be."""
        line = f"GET /agent/job HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.agent_token}\r\n\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=2) as connection:
                connection.sendall(line.encode())
                time.sleep(random.choice(_GONE_AFTER_SECONDS))
        except OSError:
            time.sleep(0.02)


def _kill(shop: Workshop, point: str, kills: int, folder: Path) -> int:
    """Let so many processes die at the point, those of the web under their users; return how many did."""
    people = shop.order("people")
    if act_for(point) is not None:
        landed = shop.order("kill", point=point, kills=kills, folder=str(folder))
    else:
        users = _Users(shop, people, folder, point=point)
        try:
            landed = shop.order("kill", point=point, kills=kills, folder=str(folder))
            shop.order("serve")
        finally:
            users.end()
        assert shop.order("stop")
    assert shop.order("check", folder=str(folder)) == []
    assert list(folder.glob("*.jsonl")), "nothing was promised"
    return int(landed)


@pytest.mark.mariadb_only  # SQLite has the long form: both lanes share ten minutes
@pytest.mark.parametrize(
    "point",
    ["writer.together.before_commit", "writer.together.after_commit", "run_one.after_commit", "overdue.before_commit"],
)
def test_a_kill_at_a_joint_breaks_no_promise(workshop: Workshop, point: str, tmp_path: Path) -> None:
    assert _kill(workshop, point, 1, tmp_path) == 1


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
def test_kills_at_every_point_break_no_promise(
    workshop: Workshop, point: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    landed = _kill(workshop, point, _KILLS, tmp_path)
    tell(f"failpoint {point}: {landed} kills on this database")
    assert landed == _KILLS
