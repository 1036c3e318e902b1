"""As much HTTP over ASGI as the hot calls need: headers, query, a capped body, an answer."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from jobs.gateway.interface import Answer, Disconnected
from jobs.gateway.waiters import Bell
from jobs.gateway.writer import ANSWER_WITHIN_SECONDS
from kernel.errors import AppError, InvalidRequest, TooLarge
from kernel.failpoints import reach
from kernel.http.addresses import caller_address
from kernel.http.answers import BODY_LIMIT, api_language, error_body, error_headers
from kernel.http.bodies import check_parameters
from kernel.strictjson import JsonObject, parse_object

logger = logging.getLogger(__name__)

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BODY_WITHIN_SECONDS = 10.0
# How many times the limit is read and dropped before the connection is given up.
_PATIENCE = 4
_QUERY_FIELDS = 20
_COMMON_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class CappedBody:
    """`receive` that raises TooLarge once a request's body is over its limit.

    A body over the limit is read on for a while and dropped: to answer and hang up under a client that still sends
    resets the connection, and it never sees the 413.
    """

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._size = 0

    async def __call__(self) -> MutableMapping[str, Any]:
        """Return the next message."""
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size <= self._limit:
            return message
        while message.get("more_body", False) and self._size <= self._limit * _PATIENCE:
            message = await self._receive()
            self._size += len(message.get("body", b""))
        raise TooLarge(params={"limit": self._limit})


class AsgiCall:
    """One HTTP request; see `jobs.gateway.interface.Call`."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self.disconnected = False
        self.arrived_at = time.monotonic()
        self.answer_by = self.arrived_at + ANSWER_WITHIN_SECONDS

    def _restart_clock(self) -> None:
        """Count the time to answer from now on: the body is complete, or the wait is over."""
        self.answer_by = time.monotonic() + ANSWER_WITHIN_SECONDS

    def header(self, name: bytes) -> str | None:
        """Return a header's value; a repeated one is joined with commas, as its meaning is."""
        values = [value for key, value in self.scope["headers"] if key == name]
        return b", ".join(values).decode("latin-1") if values else None

    @property
    def address(self) -> str | None:
        """The caller's IP address, or None where it cannot be known."""
        client = self.scope.get("client")
        forwarded_for = self.header(b"x-forwarded-for")
        return caller_address(client[0] if client else None, forwarded_for, settings.TRUSTED_PROXIES)

    def query(self, name: str) -> list[str]:
        """Return the values of a query parameter; raise InvalidRequest for a query that cannot be read."""
        return self._parameters.get(name, [])

    def check_parameters(self, *known: str) -> None:
        """Refuse a query parameter that is not known."""
        check_parameters(self._parameters, known)

    @cached_property
    def _parameters(self) -> dict[str, list[str]]:
        try:
            return parse_qs(
                self.scope["query_string"].decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_QUERY_FIELDS,
            )
        except ValueError as error:
            raise InvalidRequest(_("The query cannot be read.")) from error

    async def body(self, limit: int) -> bytes:
        """Read the body, at most `limit` bytes in ten seconds."""
        receive = CappedBody(self._receive, limit)
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(_BODY_WITHIN_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        self.disconnected = True
                        raise Disconnected
                    chunks.append(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise InvalidRequest(_("The body did not arrive in time.")) from error
        self._restart_clock()
        return b"".join(chunks)

    async def json(self, limit: int) -> JsonObject:
        """Read the body, at most `limit` bytes in ten seconds, as a strict JSON object."""
        body = await self.body(limit)
        if len(body) <= BODY_LIMIT:
            return parse_object(body)
        # A large one is parsed in a thread, so that the loop can answer other calls.
        data = await asyncio.to_thread(parse_object, body)
        self._restart_clock()
        return data

    async def wait(self, bell: Bell, seconds: float) -> None:
        """Wait for `bell`, at most `seconds`; raise Disconnected when the caller hangs up meanwhile."""
        with self.watch_connection() as disconnecting:
            ends = {disconnecting} if bell is None else {bell, disconnecting}
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self.disconnected:
            raise Disconnected
        self._restart_clock()

    @contextmanager
    def watch_connection(self) -> Iterator[asyncio.Task[None]]:
        """Notice, in the background, when the caller hangs up. For requests whose body has been read, or has none."""
        task = asyncio.ensure_future(self._until_disconnected())
        try:
            yield task
        finally:
            task.cancel()

    async def _until_disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.disconnected = True


async def send_answer(send: Send, answer: Answer) -> None:
    """Write an answer."""
    body = b""
    headers: Iterable[tuple[bytes, bytes]] = _COMMON_HEADERS
    if answer.body is not None:
        body = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = (*headers, (b"content-type", b"application/json"))
    if answer.status != 204:
        headers = (*headers, (b"content-length", str(len(body)).encode()))
    extra = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    reach("answer.before_send")
    await send({"type": "http.response.start", "status": answer.status, "headers": [*headers, *extra]})
    await send({"type": "http.response.body", "body": body})
    reach("answer.after_send")


def error_answer(call: AsgiCall, error: AppError) -> Answer:
    """Render an error in the caller's language."""
    with translation.override(api_language(call.header(b"accept-language"))):
        return Answer(status=error.status, body=error_body(error), headers=error_headers(error))
