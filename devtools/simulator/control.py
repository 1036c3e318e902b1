"""The simulator's own calls below `/_sim/`: let people act, move time, inject faults, show everything.

All but `/_sim/health` need the control token: `Authorization: Bearer <token>`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from devtools.simulator.base import NotHere, Platform
from devtools.simulator.errors import ALL
from devtools.simulator.wire import Request, Response
from devtools.simulator.world import Chat, Stream, World

if TYPE_CHECKING:
    from devtools.simulator.platforms import Simulation

_KEEP_ALIVE_SECONDS: Final = 15.0

Call = Callable[[Request, tuple[str, ...]], object | Awaitable[object]]


class Control:
    """Answers requests about the current simulation (a reset replaces it)."""

    def __init__(self, simulation: Callable[[], Simulation], reset: Callable[[bool], None], token: str) -> None:
        self._simulation = simulation
        self._reset_all = reset
        self._token = token
        self._calls: list[tuple[str, re.Pattern[str], Call]] = [
            (method, re.compile("/_sim/" + pattern), call)
            for method, pattern, call in (
                ("GET", "health", self._health),
                ("GET", "state", self._state),
                ("GET", "settings", self._settings),
                ("GET", "errors", self._errors),
                ("GET", "account", self._get_account),
                ("PUT", "account", self._put_account),
                ("POST", "handshake", self._handshake),
                ("PUT", "robots/([a-z]+)/(.+)", self._put_robot),
                ("POST", "users", self._post_user),
                ("GET", "users/([^/]+)/transcript", self._transcript),
                ("GET", "rooms/([^/]+)/(.+)", self._room),
                ("POST", "users/([^/]+)/([a-z_]+)", self._act),
                ("POST", "clock", self._clock),
                ("GET", "faults", self._get_faults),
                ("POST", "faults", self._post_fault),
                ("DELETE", "faults", self._delete_faults),
                ("GET", "calls", self._hops),
                ("GET", "stream", self._stream),
                ("POST", "reset", self._reset),
            )
        ]

    async def answer(self, request: Request) -> Response:
        """Route one call; an error is answered as `{"error": sentence}`."""
        if request.path != "/_sim/health" and not self._is_allowed(request):
            return Response.of_json({"error": "the control token is missing or wrong"}, 401)
        for method, pattern, call in self._calls:
            match = pattern.fullmatch(request.path)
            if match is None or method != request.method:
                continue
            try:
                answered = call(request, match.groups())
                value = await answered if isinstance(answered, Awaitable) else answered
            except NotHere as exc:
                return Response.of_json({"error": str(exc)}, 404)
            except ValueError as exc:
                return Response.of_json({"error": str(exc)}, 400)
            return value if isinstance(value, Response) else Response.of_json(value)
        return Response.of_json({"error": "no such call"}, 404)

    def _is_allowed(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), self._token.encode())

    @property
    def _world(self) -> World:
        return self._simulation().world

    @staticmethod
    def _body(request: Request) -> dict[str, object]:
        return request.json_object() if request.body else {}

    def _chat(self, chat_id: str) -> Chat:
        if chat_id not in self._world.chats:
            raise NotHere(f"no conversation {chat_id}")
        return self._world.chats[chat_id]

    # State.

    @staticmethod
    def _health(_request: Request, _parts: tuple[str, ...]) -> object:
        return {"ok": True}

    def _state(self, _request: Request, _parts: tuple[str, ...]) -> object:
        simulation = self._simulation()
        world = simulation.world
        chats = [
            {
                "id": chat.id,
                "platform": chat.platform,
                "name": chat.name,
                "kind": chat.kind,
                **(simulation.platforms[chat.platform].person(chat) if chat.kind == "user" else {}),
            }
            for chat in world.chats.values()
        ]
        return {
            "now": world.clock.now(),
            "ahead_seconds": world.clock.ahead_seconds,
            "seq": world.last_seq,
            "chats": chats,
            "faults": world.faults.shown(),
            **simulation.wechat.public(),
        }

    def _settings(self, _request: Request, _parts: tuple[str, ...]) -> object:
        return self._simulation().settings()

    @staticmethod
    def _errors(_request: Request, _parts: tuple[str, ...]) -> object:
        return {platform: [asdict(row) for row in table.values()] for platform, table in ALL.items()}

    # Accounts.

    def _platform(self, name: object) -> Platform:
        platforms = self._simulation().platforms
        if name not in platforms:
            raise NotHere(f"no platform {name}; there are {', '.join(platforms)}")
        return platforms[str(name)]

    def _get_account(self, request: Request, _parts: tuple[str, ...]) -> object:
        return self._platform(request.query.get("platform", "wechat")).account()

    def _put_account(self, request: Request, _parts: tuple[str, ...]) -> object:
        options = self._body(request)
        platform = self._platform(options.pop("platform", "wechat"))
        allowed = options.pop("failures_allowed", None)
        if isinstance(allowed, int):
            self._simulation().pusher.failures_allowed = allowed
        platform.configure(options)
        return platform.account()

    async def _handshake(self, request: Request, _parts: tuple[str, ...]) -> object:
        return await self._platform(self._body(request).get("platform", "wechat")).handshake()

    def _put_robot(self, request: Request, parts: tuple[str, ...]) -> object:
        self._platform(parts[0]).configure_robot(parts[1], self._body(request))
        return {"chat": f"{parts[0]}:{parts[1]}"}

    # People.

    def _post_user(self, request: Request, _parts: tuple[str, ...]) -> object:
        options = self._body(request)
        chat = self._platform(options.pop("platform", "wechat")).add_person(options)
        return {"openid": chat.id, "nickname": chat.name, "platform": chat.platform}

    async def _act(self, request: Request, parts: tuple[str, ...]) -> object:
        """Wait for the product's answer, unless `wait` is false."""
        chat = self._chat(parts[0])
        options = self._body(request)
        work = self._simulation().platforms[chat.platform].act(chat, parts[1], options)
        if options.get("wait", True):
            return await work
        task = self._world.later(work)
        await asyncio.sleep(0)
        # An action that is refused before its first await raises here.
        return task.result() if task.done() else {}

    def _transcript(self, request: Request, parts: tuple[str, ...]) -> object:
        return self._entries(self._chat(parts[0]).id, request)

    def _room(self, request: Request, parts: tuple[str, ...]) -> object:
        """Return the entries of a room, which is empty until its first message."""
        return self._entries(f"{parts[0]}:{parts[1]}", request)

    def _entries(self, chat_id: str, request: Request) -> object:
        return {"entries": self._world.transcript(chat_id, int(request.query.get("after", "0")))}

    # Time, faults, calls and pushes.

    def _clock(self, request: Request, _parts: tuple[str, ...]) -> object:
        options = self._body(request)
        seconds = options.get("advance_s", 0)
        if options.get("stop"):
            self._world.clock.stop()
        if not isinstance(seconds, int | float):
            raise ValueError("advance_s: a number")
        self._world.clock.advance(seconds)
        self._world.publish("people", None)
        return {"now": self._world.clock.now(), "ahead_seconds": self._world.clock.ahead_seconds}

    def _get_faults(self, _request: Request, _parts: tuple[str, ...]) -> object:
        return {"faults": self._world.faults.shown()}

    def _post_fault(self, request: Request, _parts: tuple[str, ...]) -> object:
        fault = self._world.faults.add(self._body(request))
        self._world.publish("people", None)
        return fault.shown()

    def _delete_faults(self, _request: Request, _parts: tuple[str, ...]) -> object:
        self._world.faults.clear()
        self._world.publish("people", None)
        return {"faults": []}

    def _hops(self, request: Request, _parts: tuple[str, ...]) -> object:
        query = request.query
        hops = self._world.hops(
            direction=query.get("direction", ""),
            path=query.get("path", ""),
            chat=query.get("openid", ""),
            after=int(query.get("after", "0")),
        )
        return {"calls": hops}

    def _stream(self, _request: Request, _parts: tuple[str, ...]) -> Response:
        stream = self._simulation().stream
        return Response(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"},
            body=_events(stream),
        )

    def _reset(self, request: Request, _parts: tuple[str, ...]) -> object:
        """`{"keep_accounts": true}` keeps the settings of the accounts."""
        keep: Mapping[str, object] = self._body(request)
        self._reset_all(bool(keep.get("keep_accounts")))
        return {"ok": True}


async def _events(stream: Stream) -> AsyncIterator[bytes]:
    """Yield server-sent events, and a comment from time to time to keep the connection alive."""
    queue = stream.open()
    try:
        yield b": here\n\n"
        while True:
            try:
                async with asyncio.timeout(_KEEP_ALIVE_SECONDS):
                    kind, value = await queue.get()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            yield f"event: {kind}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()
    finally:
        stream.close(queue)
