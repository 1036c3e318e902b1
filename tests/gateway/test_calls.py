"""A complete call without a network: one deadline from its arrival to its answer, and a caller that disconnects."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from accounts.credentials import Principal
from accounts.tokens import TokenKind, new_agent_token
from jobs.gateway import http as http_module
from jobs.gateway.agent_calls import AgentCalls
from jobs.gateway.batch import CLAIM, WriteKind
from jobs.gateway.http import AsgiCall
from jobs.gateway.interface import Answer, Disconnected
from jobs.gateway.reader import Reader
from jobs.gateway.user_calls import UserCalls
from jobs.gateway.waiters import BellWaiters
from jobs.gateway.writer import Writer
from jobs.models import Job
from jobs.states import JobStatus
from kernel.errors import Unavailable
from kernel.ids import new_id
from tests.factories import make_agent, make_job
from tests.waiting import until

_WITHIN_SECONDS = 0.5
_LOOK_UP_SECONDS = 0.2
_HEARD_SECONDS = 0.2
# Each part waits up to two seconds.
_TOO_LONG_SECONDS = 1.9


def _call(body: object = None, *, then: Callable[[], Any] | None = None) -> AsgiCall:
    """A request with an immediate body; the caller disconnects when `then` returns."""
    messages = [{"type": "http.request", "body": json.dumps(body).encode()}] if body is not None else []

    async def receive() -> MutableMapping[str, Any]:
        if messages:
            return messages.pop()
        await (then() if then else asyncio.Event().wait())
        return {"type": "http.disconnect"}

    headers = [(b"authorization", f"Bearer {new_agent_token()}".encode())]
    return AsgiCall({"headers": headers, "query_string": b"", "client": ("192.0.2.1", 1), "path": "/"}, receive)


def _backend(writer: Writer, reader: Reader, principal: Principal, *, slow: bool) -> Any:
    """A backend whose agents always may have work."""

    async def identify(token: str, *, address: str | None, by: float) -> Principal:
        await asyncio.sleep(_LOOK_UP_SECONDS if slow else 0)
        return principal

    async def hear(touch: object, *, by: float) -> None:
        await asyncio.sleep(_HEARD_SECONDS if slow else 0)

    async def may_have_work(principal: Principal) -> bool:
        return True

    return SimpleNamespace(
        write=writer.write,
        put_back=writer.put_back,
        read=reader.ask,
        waiters=BellWaiters(),
        identify=identify,
        hear=hear,
        may_have_work=may_have_work,
        flag_work=lambda agent_id: None,
    )


class _Stuck(Writer):
    """A writer whose thread has ended."""

    def _serve_next(self) -> bool:
        """End the thread at once."""
        return False


_AGENT_CALLS: dict[str, Callable[[AgentCalls], Any]] = {
    "next_job": lambda calls: calls.next_job(_call()),
    "report": lambda calls: calls.report(_call({"result": "x"}), new_id(), "succeed"),
    "beat": lambda calls: calls.beat(_call({"running": []})),
}
_USER_CALLS: dict[str, Callable[[UserCalls], Any]] = {
    "add_line": lambda calls: calls.add_line(_call({"message": "bar date"})),
    "add_job": lambda calls: calls.add_job(_call({"agent": "bar", "message": "date"})),
    "read_job": lambda calls: calls.read_job(_call(), new_id()),
    "read_log": lambda calls: calls.read_log(_call(), new_id()),
}


@pytest.mark.parametrize("name", [*_AGENT_CALLS, *_USER_CALLS])
def test_one_deadline_runs_through_the_whole_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow authentication and a slow presence update leave the writer or the reader only the remaining time."""
    monkeypatch.setattr(http_module, "ANSWER_WITHIN_SECONDS", _WITHIN_SECONDS)
    agent = name in _AGENT_CALLS
    principal = Principal(
        kind=TokenKind.AGENT if agent else TokenKind.USER,
        owner_id=new_id(),
        digest="x",
        scope="" if agent else "full",
        agent_id=new_id() if agent else "",
    )
    let_go = threading.Event()

    async def work() -> float:
        writer, reader = _Stuck(), Reader(threads=1)
        writer.start()
        busy = asyncio.ensure_future(reader.ask(lambda: let_go.wait(10), by=time.monotonic() + 10))
        await asyncio.sleep(0)
        backend = _backend(writer, reader, principal, slow=True)
        began = time.monotonic()
        try:
            with pytest.raises(Unavailable):
                await (_AGENT_CALLS[name](AgentCalls(backend)) if agent else _USER_CALLS[name](UserCalls(backend)))
            return time.monotonic() - began
        finally:
            let_go.set()
            await busy
            reader.stop()

    assert asyncio.run(work()) < _TOO_LONG_SECONDS


class _Slow(Writer):
    """A writer that answers a claim after the caller has disconnected."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed = asyncio.Event()

    async def write(self, kind: WriteKind[Any, Any], request: Any, *, by: float | None = None) -> Any:
        outcome = await super().write(kind, request, by=by)
        if kind is CLAIM:
            self.claimed.set()
            await asyncio.sleep(0.05)
        return outcome


@pytest.mark.django_db(transaction=True)
def test_a_caller_who_hangs_up_while_the_job_is_claimed_loses_no_job() -> None:
    agent = make_agent()
    job = make_job(agent)
    principal = Principal(kind=TokenKind.AGENT, owner_id=agent.owner_id, digest="x", agent_id=agent.pk)

    async def work() -> Answer:
        writer, reader = _Slow(), Reader(threads=1)
        writer.start()
        try:
            calls = AgentCalls(_backend(writer, reader, principal, slow=False))
            return await calls.next_job(_call(then=writer.claimed.wait))
        finally:
            await writer.stop()
            reader.stop()

    with pytest.raises(Disconnected):
        asyncio.run(work())
    connection.close()
    until(lambda: Job.objects.get().status == JobStatus.QUEUING)
    assert list(job.events.order_by("number").values_list("move", flat=True)) == ["submit", "claim", "reoffer"]
