"""The ASGI application in front of Django: lifespan, routing of the hot calls, the last net under an error."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from django.db import Error as DatabaseFault

from jobs.api import reading, rendering
from jobs.gateway.calls import Calls
from jobs.gateway.http import Answer, Call, CappedBody, Gone, Receive, Scope, Send, error_answer, send_answer
from jobs.gateway.parts import Parts
from jobs.queues import wire as queues
from kernel.errors import AppError, TooLarge, Unavailable
from kernel.http.answers import BODY_LIMIT

logger = logging.getLogger(__name__)

Application = Callable[[Any, Any, Any], Awaitable[None]]

_REPORT = re.compile(r"/agent/jobs/([^/]+)/(running|succeed|fail)")
_JOB = re.compile(r"/jobs/([^/]+)")
_LOG = re.compile(r"/jobs/([^/]+)/log")
_NEXT = re.compile(r"/queues/([^/]+)/next")
_BODY_LIMITS = (
    (_REPORT, reading.REPORT_BODY_LIMIT),
    (re.compile(r"/queues/[^/]+/jobs"), queues.BATCH_BODY_LIMIT),
    (re.compile(r"/queues/[^/]+/jobs/[^/]+/ack"), queues.ACK_BODY_LIMIT),
)
"""Django's calls that take more than others."""


class Gateway:
    """Answers the hot calls itself when `hot`, and hands everything else to Django."""

    def __init__(self, django: Application, *, hot: bool) -> None:
        self._django = django
        self._hot = hot
        self._parts: Parts | None = None
        self._calls: Calls | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        handler = self._handler(scope) if self._hot and scope["type"] == "http" else None
        if handler is None:
            await self._hand_to_django(scope, receive, send)
            return
        call = Call(scope, receive)
        try:
            answer = await handler(call)
        except Gone:
            return
        except AppError as error:
            answer = error_answer(call, error)
        except DatabaseFault:
            logger.exception("call failed", extra={"action": "gateway.database", "path": scope["path"]})
            answer = error_answer(call, Unavailable())
        except Exception:
            logger.exception("call broke", extra={"action": "gateway.bug", "path": scope["path"]})
            answer = error_answer(call, AppError())
        await _send(send, call, answer)

    def release_waiters(self) -> None:
        """Answer every parked call now, and park none from now on: the server stops."""
        if self._parts:
            self._parts.waiters.release()

    async def _hand_to_django(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Django reads a body to its end, onto the disk, before anything looks at it: so it is capped on the way."""
        limit = next((size for path, size in _BODY_LIMITS if path.fullmatch(scope["path"])), BODY_LIMIT)
        try:
            await self._django(scope, CappedBody(receive, limit), send)
        except TooLarge as error:
            call = Call(scope, receive)
            await _send(send, call, error_answer(call, error))

    def _handler(self, scope: Scope) -> Callable[[Call], Awaitable[Answer]] | None:
        calls, path = self._calls, scope["path"]
        if calls is None:
            return None
        match scope["method"], path:
            case "GET", "/agent/job":
                return calls.agent_job
            case "POST", "/agent/beat":
                return calls.beat
            case "POST", "/job/add":
                return calls.add_line
            case "POST", "/jobs":
                return calls.add_job
            case "GET", _ if found := _JOB.fullmatch(path):
                return partial(calls.read_job, job_id=found[1])
            case "GET", _ if found := _LOG.fullmatch(path):
                return partial(calls.read_log, job_id=found[1])
            case "GET", _ if found := _NEXT.fullmatch(path):
                return partial(calls.queue_job, name=found[1])
            case "PUT", _ if found := _REPORT.fullmatch(path):
                return partial(calls.report, job_id=found[1], kind=found[2])
        return None

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._parts = Parts()
                self._calls = Calls(self._parts)
                await self._parts.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._parts:
                    await self._parts.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _send(send: Send, call: Call, answer: Answer) -> None:
    """Write an answer; an agent is told which protocol we speak."""
    if call.scope["path"].startswith("/agent/"):
        answer.headers |= rendering.protocol_headers(call.protocol)
    await send_answer(send, answer)
