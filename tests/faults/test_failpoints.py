"""Every failpoint of the server kills a working process; acknowledged writes survive."""

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
from tests.faults.workloads import workload_for
from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT

_KILLS = 10
"""On each database: twenty in all."""
_MANY_WORKERS = 3
_SIGNS_OF_LIFE = 30
_GONE_AFTER_SECONDS = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016)


class Runner:
    """`failpoint_runner.py` in its own process, with its own database and Redis."""

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
        """Send an order and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "it is gone"}')
        assert "answer" in answer, f"{answer['error']}\n{self.log.read_text(encoding='utf-8')[-4000:]}"
        return answer["answer"]

    def close(self) -> None:
        """Stop the process and its Redis."""
        self._process.communicate(timeout=60)
        self.server.close()


@pytest.fixture(scope="module")
def runner(lane: Lane) -> Iterator[Runner]:
    """One runner for all failpoints."""
    runner = Runner(lane)
    yield runner
    runner.close()


class _Users:
    """A submitter that retries until it is answered, and old agents that close some connections."""

    def __init__(self, runner: Runner, people: dict[str, str], folder: Path, *, point: str) -> None:
        self.server, self.hang_up = runner.server, point.startswith("put_back")
        # After a lock timeout only the reports of a batch are retried one by one: always send some.
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
        """Stop, and raise the exception of a thread."""
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
        """Retry until the answer is not 503 or the test ends; yield every status and answer, None for no answer."""
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
        body = {"agent": self.agent, "message": f"do {next(self.numbers)}", "ttl": 3600}
        key = body["message"]
        for status, job in self._ask("POST", "/jobs", body, self.user_token, **{"Idempotency-Key": str(key)}):
            assert status in (None, 201, 503), job
            self.submits.note(
                "submit",
                key=key,
                agent=self.agent,
                message=body["message"],
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
                # 400: the first report was accepted and its answer lost.
                assert status in (None, 204, 400, 503), answer
                self.work.note("report", agent=self.agent, id=job_id, kind=kind, status=status, text=job_id)

    def _hang_up(self) -> None:
        """Poll, and disconnect before the answer."""
        line = f"GET /agent/job HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.agent_token}\r\n\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=2) as connection:
                connection.sendall(line.encode())
                time.sleep(random.choice(_GONE_AFTER_SECONDS))
        except OSError:
            time.sleep(0.02)


def _kill(runner: Runner, point: str, kills: int, folder: Path) -> int:
    """Let `kills` processes die at the failpoint, web processes under load; return how many did."""
    people = runner.order("people")
    if workload_for(point) is not None:
        landed = runner.order("kill", point=point, kills=kills, folder=str(folder))
    else:
        users = _Users(runner, people, folder, point=point)
        try:
            landed = runner.order("kill", point=point, kills=kills, folder=str(folder))
            runner.order("serve")
        finally:
            users.end()
        assert runner.order("stop")
    assert runner.order("check", folder=str(folder)) == []
    assert list(folder.glob("*.jsonl")), "nothing was promised"
    return int(landed)


@pytest.mark.mariadb_only  # SQLite has the long form: both lanes share ten minutes
@pytest.mark.parametrize(
    "point",
    ["writer.together.before_commit", "writer.together.after_commit", "run_one.after_commit", "overdue.before_commit"],
)
def test_a_kill_at_a_failpoint_breaks_no_guarantee(runner: Runner, point: str, tmp_path: Path) -> None:
    assert _kill(runner, point, 1, tmp_path) == 1


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
def test_kills_at_every_failpoint_break_no_guarantee(
    runner: Runner, point: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    landed = _kill(runner, point, _KILLS, tmp_path)
    tell(f"failpoint {point}: {landed} kills on this database")
    assert landed == _KILLS
