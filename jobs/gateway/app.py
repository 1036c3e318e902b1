"""The ASGI application in front of Django: lifespan, routing of the hot calls, the last guard under an error."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from django.db import Error as DatabaseFault

from jobs.gateway.agent_calls import REPORT_BODY_LIMIT, AgentCalls, protocol_headers, read_protocol
from jobs.gateway.http import AsgiCall, CappedBody, Receive, Scope, Send, error_answer, send_answer
from jobs.gateway.interface import Answer, Backend, Disconnected
from jobs.gateway.pipeline import Pipeline
from jobs.gateway.user_calls import UserCalls
from jobs.queues import wire as queues
from kernel.errors import AppError, TooLarge, Unavailable
from kernel.http.answers import BODY_LIMIT

logger = logging.getLogger(__name__)

Application = Callable[[Any, Any, Any], Awaitable[None]]
Handler = Callable[..., Awaitable[Answer]]

_REPORT = re.compile(r"/agent/jobs/(?P<job_id>[^/]+)/(?P<kind>running|succeed|fail)")
_BODY_LIMITS = (
    (_REPORT, REPORT_BODY_LIMIT),
    (re.compile(r"/queues/[^/]+/jobs"), queues.BATCH_BODY_LIMIT),
    (re.compile(r"/queues/[^/]+/jobs/[^/]+/ack"), queues.ACK_BODY_LIMIT),
)
"""Django's calls that take more than others."""


class Router:
    """Finds the handler of a hot call by method and path."""

    def __init__(self, backend: Backend) -> None:
        agents, users = AgentCalls(backend), UserCalls(backend)
        self._paths: dict[tuple[str, str], Handler] = {
            ("GET", "/agent/job"): agents.next_job,
            ("POST", "/agent/beat"): agents.beat,
            ("POST", "/job/add"): users.add_line,
            ("POST", "/jobs"): users.add_job,
        }
        self._patterns: dict[str, tuple[tuple[re.Pattern[str], Handler], ...]] = {
            "PUT": ((_REPORT, agents.report),),
            "GET": (
                (re.compile(r"/jobs/(?P<job_id>[^/]+)"), users.read_job),
                (re.compile(r"/jobs/(?P<job_id>[^/]+)/log"), users.read_log),
                (re.compile(r"/queues/(?P<name>[^/]+)/next"), users.next_of_queue),
            ),
        }

    def find(self, method: str, path: str) -> Handler | None:
        """Return the handler, which takes the call; None: the call is not a hot one."""
        if handler := self._paths.get((method, path)):
            return handler
        for pattern, pattern_handler in self._patterns.get(method, ()):
            if found := pattern.fullmatch(path):
                return partial(pattern_handler, **found.groupdict())
        return None


class Gateway:
    """Answers the hot calls itself when `hot`, and hands everything else to Django."""

    def __init__(self, django: Application, *, hot: bool) -> None:
        self._django = django
        self._hot = hot
        self._pipeline: Pipeline | None = None
        self._router: Router | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        handler = self._find_handler(scope)
        if handler is None:
            await self._hand_to_django(scope, receive, send)
            return
        call = AsgiCall(scope, receive)
        try:
            answer = await handler(call)
        except Disconnected:
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
        """Answer every held call now, and hold none from now on: the server stops."""
        if self._pipeline:
            self._pipeline.waiters.release()

    def _find_handler(self, scope: Scope) -> Handler | None:
        if self._router is None or not self._hot or scope["type"] != "http":
            return None
        return self._router.find(scope["method"], scope["path"])

    async def _hand_to_django(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cap the body on its way: Django reads a body to its end, onto the disk, before a view can look at it."""
        limit = next((size for path, size in _BODY_LIMITS if path.fullmatch(scope["path"])), BODY_LIMIT)
        try:
            await self._django(scope, CappedBody(receive, limit), send)
        except TooLarge as error:
            call = AsgiCall(scope, receive)
            await _send(send, call, error_answer(call, error))

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._pipeline = Pipeline()
                self._router = Router(self._pipeline)
                await self._pipeline.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._pipeline:
                    await self._pipeline.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _send(send: Send, call: AsgiCall, answer: Answer) -> None:
    """Write an answer; an agent is told which protocol we speak."""
    if call.scope["path"].startswith("/agent/"):
        answer.headers |= protocol_headers(read_protocol(call.header(b"skadi-protocol")))
    await send_answer(send, answer)
