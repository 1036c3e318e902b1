"""An error outside the handling of a batch ends no thread and no background task: the calls after it are served."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from accounts.services.tokens import mint_user_token
from agents.services.manage import reset_agent_token
from jobs.gateway.app import Gateway
from jobs.models import JobEvent
from kernel import failpoints
from kernel.loops import EXIT_CODE
from tests.factories import make_agent
from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

_SERVED_WITHIN_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


class _App:
    """The gateway's application, without a network; one user and one agent call it."""

    def __init__(self) -> None:
        agent = make_agent()
        self.name, self.agent_token = agent.name, reset_agent_token(agent=agent, actor="test")
        self.user_token = mint_user_token(user=agent.owner, scope="full", actor="test")
        self._gateway = Gateway(_no_django, hot=True)

    async def __aenter__(self) -> _App:
        self._lifespan: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._lived: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._living = asyncio.create_task(self._gateway({"type": "lifespan"}, self._lifespan.get, self._lived.put))
        await self._lifespan.put({"type": "lifespan.startup"})
        assert (await self._lived.get())["type"] == "lifespan.startup.complete"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._lifespan.put({"type": "lifespan.shutdown"})
        await self._living

    async def call(self, method: str, path: str, body: object = None, *, token: str) -> tuple[int, Any]:
        """Make one call; return its status and body."""
        messages = [{"type": "http.request", "body": b"" if body is None else json.dumps(body).encode()}]
        answer: list[Any] = []

        async def receive() -> Any:
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            answer.append(message)

        route, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": route,
            "query_string": query.encode(),
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "client": ("192.0.2.1", 1),
        }
        await self._gateway(scope, receive, send)
        content = answer[1]["body"]
        return answer[0]["status"], json.loads(content) if content else None

    async def send(self) -> tuple[int, Any]:
        """Send a job."""
        body = {"agent": self.name, "message": "date", "ttl": 600}
        return await self.call("POST", "/jobs", body, token=self.user_token)

    async def poll(self, wait: int = 0) -> tuple[int, Any]:
        """Poll as an old agent."""
        return await self.call("GET", f"/agent/job?wait={wait}", token=self.agent_token)

    async def cycle(self) -> None:
        """Send a job, take one and report it. Calls may have to be made again for a while."""
        await _until_status(201, self.send)
        job = await _until_status(200, self.poll)
        report = f"/agent/jobs/{job['id']}/succeed"
        await _until_status(204, lambda: self.call("PUT", report, {"result": "x"}, token=self.agent_token))


async def _no_django(*_: object) -> None:
    raise AssertionError("a hot call was handed to Django")


async def _until_status(status: int, make: Callable[[], Awaitable[tuple[int, Any]]]) -> Any:
    deadline = time.monotonic() + _SERVED_WITHIN_SECONDS
    while True:
        got, body = await make()
        if got == status:
            return body
        assert time.monotonic() < deadline, (got, body)
        await asyncio.sleep(0.05)


def _errors(caplog: pytest.LogCaptureFixture, point: str) -> int:
    """Count how often the raised failpoint was logged."""
    raised = [record.exc_info[1] for record in caplog.records if record.exc_info]
    return sum(isinstance(error, failpoints.FailpointError) and str(error) == point for error in raised)


_POINTS = sorted(failpoints.ERROR_POINTS.keys() - {"courier.before_delivery"})


@pytest.mark.parametrize("point", _POINTS)
def test_after_an_error_in_a_loop_the_next_calls_are_served(
    point: str, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.OFFLINE_SECONDS = 3  # presence is written every half second

    app = _App()

    async def work() -> None:
        async with app:
            await app.cycle()
            failpoints.arm(f"raise:{point}:1")
            deadline = time.monotonic() + _SERVED_WITHIN_SECONDS
            while not _errors(caplog, point):
                await asyncio.gather(app.send(), app.poll())
                assert time.monotonic() < deadline, "the point was not reached"
            await app.cycle()

    asyncio.run(work())
    assert _errors(caplog, point) == 1


@pytest.mark.parametrize("point", ["writer.before_answers", "writer.before_answer"])
def test_a_claim_whose_answer_is_lost_to_an_error_is_handed_out_again(point: str) -> None:
    app = _App()

    async def work() -> tuple[str, int, Any]:
        async with app:
            await app.poll()
            _, sent = await app.send()
            failpoints.arm(f"raise:{point}:1")
            status, _ = await app.poll()
            job = await _until_status(200, app.poll)
            return sent["id"], status, job["id"]

    sent_id, status, job_id = asyncio.run(work())
    assert status == 503
    assert job_id == sent_id
    connection.close()
    moves = JobEvent.objects.filter(job_id=sent_id).order_by("number").values_list("move", flat=True)
    assert list(moves) == ["submit", "claim", "reoffer", "claim"]


def test_a_held_poll_is_woken_after_an_error_in_the_ringer() -> None:
    app = _App()

    async def work() -> float:
        async with app:
            await app.cycle()
            failpoints.arm("raise:ringer.after_take:1")
            await app.cycle()
            began = time.monotonic()
            held = asyncio.create_task(app.poll(wait=20))
            await asyncio.sleep(0.3)
            await app.send()
            status, _ = await held
            assert status == 200
            return time.monotonic() - began

    # Without a bell it would look for itself after eight seconds.
    assert asyncio.run(work()) < 5


def test_a_real_server_serves_after_an_error_in_its_writer(lane: Lane) -> None:
    point = "raise:writer.after_take:3"
    server = LiveServer(lane, "guards", gateway=True, LETSERVER_FAILPOINT=point)
    try:
        server.start()
        token = server.manage("create_token", "guarded").strip()
        bodies = [{"agent": "nobody", "message": "x"}] * 8
        statuses = [server.call("POST", "/jobs", body, token=token)[0] for body in bodies]
        assert statuses.count(503) == 1
        assert statuses.count(404) == 7
        assert "FailpointError" in server.log_text()
    finally:
        server.close()


def test_a_thread_that_cannot_go_on_ends_its_process() -> None:
    """So that the supervisor starts another one: without its writer it would answer 503 until a restart by hand."""
    program = (
        "import sys, threading; from kernel.loops import start_thread\n"
        "start_thread('doomed', lambda: sys.exit(0)); threading.Event().wait(20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == EXIT_CODE == os.EX_TEMPFAIL
    assert "loop ended" in done.stderr
