"""Bounds what people who are not signed in may cost: their pages are counted by address before Django runs."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from html import escape

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from jobs.gateway.app import Application
from jobs.gateway.http import AsgiCall, Receive, Scope, Send
from kernel.errors import LimitExceeded
from kernel.http.answers import api_language, error_headers
from kernel.limits import subscriber

_PAGES = ("/console/", "/admin/")
_SESSION = re.compile(r"(?:^|;)\s*" + re.escape(settings.SESSION_COOKIE_NAME) + "=([^;]+)")
_IN_SCOPE = "letserver.session"
_KNOWN_SECONDS = 600.0
_KEPT = 10_000
"""The most sessions, and the most addresses, that a process keeps in memory."""

_PAGE = """<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>429</title>
<p>{sentence}</p>
"""


class Buckets:
    """A token bucket for each key. It holds a third of a minute's number, so that a first visit does not wait."""

    def __init__(self, a_minute: int) -> None:
        self._a_second = a_minute / 60
        self._size = max(1.0, a_minute / 3)
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """Take one token and return 0, or return in how many seconds there is one."""
        level, then = self._levels.pop(key, (self._size, now))
        level = min(self._size, level + (now - then) * self._a_second)
        missing = 1 - level
        self._levels[key] = (level if missing > 0 else level - 1, now)
        if len(self._levels) > _KEPT:
            self._levels.popitem(last=False)
        return missing / self._a_second if missing > 0 else 0.0


class VisitorLimiter:
    """Runs before Django. A session that was signed in within ten minutes passes; others are counted by address."""

    def __init__(self, django: Application, *, a_minute: int) -> None:
        self._django = django
        self._buckets = Buckets(a_minute) if a_minute else None
        self._known: OrderedDict[bytes, float] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        if self._buckets is not None and scope["type"] == "http" and scope["path"].startswith(_PAGES):
            call = AsgiCall(scope, receive)
            seconds = 0.0 if self._is_known(call) else self._wait_of(call, self._buckets)
            if seconds:
                await _refuse(call, send, seconds)
                return
        await self._django(scope, receive, send)
        if session := scope.get(_IN_SCOPE):
            self._remember(session)

    def _wait_of(self, call: AsgiCall, buckets: Buckets) -> float:
        return buckets.take(subscriber(call.address), time.monotonic()) if call.address else 0.0

    def _is_known(self, call: AsgiCall) -> bool:
        found = _SESSION.search(call.header(b"cookie") or "")
        return found is not None and self._known.get(_key(found[1]), 0.0) > time.monotonic()

    def _remember(self, session: str) -> None:
        key = _key(session)
        self._known.pop(key, None)
        self._known[key] = time.monotonic() + _KNOWN_SECONDS
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)


def note_session(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Put the session of a signed-in page into the ASGI scope, where `VisitorLimiter` finds it."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        scope = getattr(request, "scope", None)
        if scope is not None and request.path.startswith(_PAGES) and request.user.is_authenticated:
            scope[_IN_SCOPE] = request.session.session_key
        return response

    return answer


def _key(session: str) -> bytes:
    return hashlib.sha256(session.encode()).digest()


async def _refuse(call: AsgiCall, send: Send, seconds: float) -> None:
    wait = math.ceil(seconds)
    error = LimitExceeded(
        _("Too many pages were asked for from your address without signing in. Try again in %(seconds)s seconds."),
        params={"seconds": wait},
        retry_after_seconds=wait,
    )
    with translation.override(api_language(call.header(b"accept-language"))):
        body = _PAGE.format(sentence=escape(error.message)).encode()
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), **error_headers(error)}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
