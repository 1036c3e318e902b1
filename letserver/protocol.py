"""uvicorn's HTTP protocol with bounds: bytes, headers, seconds and connections, counted before anything is kept.

uvicorn bounds none of them, so one header without an end would fill the memory and stop the process for all callers.
A request passes through two phases. Until its headers are complete, everything counts against HEAD_BYTES and
HEAD_SECONDS. While its body comes, what is not body (sizes of chunks, their extensions, trailers) counts against
HEAD_BYTES again, and the body must make progress. The size of a body is the application's business (`CappedBody`).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import Any, cast

import httptools
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext_lazy
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from kernel.errors import AppError, HeadTooLarge, InvalidRequest, SlowRequest, TooManyConnections
from kernel.http.answers import error_body, error_headers

HEAD_BYTES = 64 * 1024
HEADERS_LIMIT = 100
HEAD_SECONDS = 10.0
"""Seconds from the first byte of a request to the end of its headers."""

SILENT_SECONDS = 30.0
"""Seconds that a new connection may say nothing."""

BODY_SECONDS = 10.0
BODY_BYTES = 10 * 1024
"""A body must bring this many bytes in each BODY_SECONDS, unless the application is not ready to read."""

LATE_BODY_BYTES = 1024 * 1024
"""Bytes of a body that are read and dropped after its request was answered."""

CONNECTIONS_LIMIT = 4000
CONNECTIONS_OF_ADDRESS = 1000
"""Connections of one process, and of one address unless a proxy is in front of the server."""

_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1024 * 1024

_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_UNREADABLE = gettext_lazy("The request cannot be read. Percent-encode blanks and control characters in its address.")

_of_address: Counter[str] = Counter()


class _Refused(Exception):
    """Raised inside the parser to stop it."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. It is idle while no request with complete headers waits for its answer."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = _in_line = _reads_body = False
    _heads = _headers = _head_bytes = _body_bytes = _extra_bytes = _late_bytes = 0
    _body_bytes_before = 0
    _idle_since = 0.0
    _refused: AppError | None = None
    _dropped_bytes = 0

    @property
    def _last_cycle(self) -> RequestResponseCycle | None:
        """The request that came last. uvicorn types it as if there always was one."""
        return self.cycle

    @property
    def is_idle(self) -> bool:
        """Tell whether the connection can be closed without an answer being lost."""
        cycle = self._last_cycle
        return cycle is None or cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, in the place of the one that was idle longest if there are too many."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        address = self.client[0] if self.client else ""
        _of_address[address] += 1
        if len(self.connections) > CONNECTIONS_LIMIT:
            self._make_room("")
        elif address and not settings.TRUSTED_PROXIES and _of_address[address] > CONNECTIONS_OF_ADDRESS:
            self._make_room(address)
        if self._refused is None:
            self._set_timer(SILENT_SECONDS, self._on_head_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        address = self.client[0] if self.client else ""
        _of_address[address] -= 1
        if _of_address[address] <= 0:
            del _of_address[address]
        self._clear_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it is beyond a bound."""
        if self._refused is not None:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > _LINGER_BYTES:
                self.transport.close()
            return
        self._unset_keepalive_if_required()
        in_body, heads, body = self._reads_body, self._heads, self._body_bytes
        try:
            self.parser.feed_data(self._with_ascii_line(data))
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _Refused):
                self._refuse(InvalidRequest(_UNREADABLE))
        except httptools.HttpParserError:
            self._refuse(InvalidRequest(_UNREADABLE))
        else:
            if self._heads > heads:
                self._begin_counting()
            elif in_body:
                self._count_body(len(data), of_body=self._body_bytes - body)
            else:
                self._count_head(len(data))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head = True
        self._headers = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers += 1
        if self._headers > HEADERS_LIMIT:
            self._refuse(HeadTooLarge())
            raise _Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request; from now on its body must come."""
        self._heads += 1
        self._body_bytes = 0
        self._in_head, self._reads_body = False, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
        self._reads_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note that the connection is idle from now on."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def _with_ascii_line(self, data: bytes) -> bytes:
        """Percent-encode bytes over 0x7F in a request line, which the parser refuses: curl sends text as it was typed.

        Only the line of the first request in `data` is looked at. So pipelined requests must be encoded.
        """
        if self._reads_body or (self._in_head and not self._in_line):
            return data
        begin = len(data) - len(data.lstrip(b"\r\n")) if not self._in_line else 0
        end = data.find(b"\n", begin)
        self._in_line = end < 0
        if data.isascii():
            return data
        line = data if end < 0 else data[:end]
        return _NOT_ASCII.sub(lambda found: b"%%%02X" % ord(found[0]), line) + data[len(line) :]

    def _begin_counting(self) -> None:
        """Start to count again after the head of a request: its body, or the head of the next one."""
        self._head_bytes = self._body_bytes_before = self._extra_bytes = self._late_bytes = 0
        if self._reads_body:
            self._set_timer(BODY_SECONDS, self._on_body_timer)
        elif self._in_head:
            self._set_timer(HEAD_SECONDS, self._on_head_timer)
        else:
            self._clear_timer()

    def _count_head(self, size: int) -> None:
        if self._head_bytes == 0:
            self._set_timer(HEAD_SECONDS, self._on_head_timer)
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._refuse(HeadTooLarge())

    def _count_body(self, size: int, *, of_body: int) -> None:
        if not self._reads_body:
            self._begin_counting()
            return
        self._extra_bytes += size - of_body
        if self._extra_bytes > HEAD_BYTES:
            self._refuse(HeadTooLarge())
        elif self.cycle.response_complete:
            self._late_bytes += size
            if self._late_bytes > LATE_BODY_BYTES:
                self.transport.close()

    def _on_head_timer(self) -> None:
        if not self.is_idle:
            # A request waits for its answer, and what comes behind it can wait as long.
            self._set_timer(HEAD_SECONDS, self._on_head_timer)
        elif self._head_bytes == 0 and self._last_cycle is None:
            self.transport.close()
        else:
            self._refuse(SlowRequest())

    def _on_body_timer(self) -> None:
        came = self._body_bytes - self._body_bytes_before
        if self.flow.read_paused or came >= BODY_BYTES:
            self._body_bytes_before = self._body_bytes
            self._set_timer(BODY_SECONDS, self._on_body_timer)
        else:
            self._refuse(SlowRequest())

    def _make_room(self, address: str) -> None:
        """Close the connection that was idle longest, of this address or of all; else refuse this one."""
        others = cast("set[BoundedProtocol]", self.connections)
        idle = [
            one
            for one in others
            if one is not self and one.is_idle and one.client is not None and (not address or one.client[0] == address)
        ]
        if idle:
            min(idle, key=lambda one: one._idle_since).transport.close()
        else:
            self._refuse(TooManyConnections(retry_after_seconds=5))

    def _refuse(self, error: AppError) -> None:
        """Answer with the error unless an answer has begun, and hang up.

        The caller may still be sending. To close at once would reset the connection before it sees the answer, so what
        comes is dropped for a moment.
        """
        self._refused = error
        self._clear_timer()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if self._was_answered():
            self.transport.close()
            return
        self.transport.write(_answer(error))
        if (cycle := self._last_cycle) is not None:
            # The application gets a disconnect instead of a body, and its answer goes nowhere.
            cycle.disconnected = True
            cycle.message_event.set()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _was_answered(self) -> bool:
        """Tell whether the answer to the request that came last has begun; another one would follow it unasked."""
        cycle = self._last_cycle
        if cycle is None:
            return False
        return self._reads_body if cycle.response_complete else cycle.response_started

    def _set_timer(self, seconds: float, turn: Any) -> None:
        self._clear_timer()
        self._timer = self.loop.call_later(seconds, turn)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _answer(error: AppError) -> bytes:
    """Return the bytes of an error that ends its connection. Its language was not read, so it is English."""
    with translation.override("en"):
        body = json.dumps(error_body(error)).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        "Cache-Control": "no-store",
        **error_headers(error),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[error.status] + lines.encode() + b"\r\n" + body
