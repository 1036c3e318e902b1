"""An address that accepts any request: it receives callbacks and webhooks of the product and checks their signature.

Signature: Standard Webhooks (Standard Webhooks specification · Signature scheme).
"""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from devtools.simulator.base import Platform, Route, keep_known
from devtools.simulator.crypto import Unreadable, standard_webhook_signature
from devtools.simulator.push import Pusher
from devtools.simulator.wire import HangUp, Request, Response
from devtools.simulator.world import World

_TOLERANCE_SECONDS: Final = 300


@dataclass(slots=True, kw_only=True)
class _Sink:
    """One address. `script`: statuses of the next answers, 0 hangs up; after them, every answer has `status`."""

    secret: str = ""
    status: int = 200
    script: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "ok"
    delay_ms: int = 0
    heard: dict[str, int] = field(default_factory=dict)


class Sink(Platform):
    """Receives at any key; an address is created by its first call."""

    name = "sink"

    def __init__(self, world: World, pusher: Pusher) -> None:
        super().__init__(world, pusher)
        self._sinks: dict[str, _Sink] = {}

    def routes(self) -> list[Route]:
        return [Route.of("/hook/(?P<key>.+)", self._take)]

    def refuse(self, code: str, **_words: object) -> Response:
        return Response.of_text("refused", int(code))

    def configure_robot(self, key: str, options: Mapping[str, object]) -> None:
        """Set the answers of an address, and its secret. Raises ValueError."""
        known = {"secret": str, "status": int, "script": list, "headers": dict, "body": str, "delay_ms": int}
        sink = self._sinks.setdefault(key, _Sink())
        for name, value in keep_known(options, known).items():
            setattr(sink, name, value)

    async def _take(self, request: Request, match: re.Match[str]) -> Response:
        sink = self._sinks.setdefault(match["key"], _Sink())
        message_id = request.headers.get("webhook-id", "")
        repeat = sink.heard.get(message_id, 0)
        if message_id:
            sink.heard[message_id] = repeat + 1
        problem = _signature_problem(request, sink.secret) if sink.secret else ""
        chat = self.world.room(self.name, match["key"])
        self.world.note(
            chat,
            "account",
            "webhook",
            request.body.decode("utf-8", "replace"),
            method=request.method,
            headers=request.headers,
            query=request.query,
            webhook_id=message_id,
            repeat=repeat,
            verified=bool(sink.secret) and not problem,
            problem=problem,
        )
        await asyncio.sleep(sink.delay_ms / 1000)
        status = sink.script.pop(0) if sink.script else sink.status
        if status == 0:
            raise HangUp
        if problem:
            return Response.of_text(problem, 401)
        answer = Response.of_text(sink.body, status)
        answer.headers.update(sink.headers)
        return answer


def _signature_problem(request: Request, secret: str) -> str:
    """Return why the signature is invalid, or ""."""
    headers = request.headers
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not timestamp.isdigit():
        return "webhook-id or webhook-timestamp missing"
    if abs(time.time() - int(timestamp)) > _TOLERANCE_SECONDS:
        return "webhook-timestamp too old or too new"
    try:
        right = standard_webhook_signature(message_id, timestamp, request.body, secret)
    except Unreadable as exc:
        return str(exc)
    given = headers.get("webhook-signature", "").split()
    return "" if any(hmac.compare_digest(one, right) for one in given) else "webhook-signature does not hold"
