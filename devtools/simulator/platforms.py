"""Serve all platforms on one port of loopback: `python -m devtools.simulator --port 9797 --seed 1`.

It prints the address of the chat page with the control token, then the product's settings for this simulator in the
syntax of a shell.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from devtools.simulator.base import Platform, Route
from devtools.simulator.control import Control
from devtools.simulator.dingtalk import DingTalk
from devtools.simulator.faults import Fault
from devtools.simulator.feishu import Feishu
from devtools.simulator.page import page_answer
from devtools.simulator.push import Pusher
from devtools.simulator.services import SERVICES
from devtools.simulator.sink import Sink
from devtools.simulator.slack import Slack
from devtools.simulator.telegram import Telegram
from devtools.simulator.wechat import WeChat
from devtools.simulator.wecom import WeCom
from devtools.simulator.wire import HangUp, Request, Response, serve
from devtools.simulator.world import Hop, Stream, World

_HOST: Final = "127.0.0.1"
_PLATFORMS: Final[tuple[type[Platform], ...]] = (WeChat, WeCom, Feishu, DingTalk, Telegram, Slack, Sink, *SERVICES)
_BODY_KEPT: Final = 262_144


class Simulation:
    """One run between two resets: a world and the platforms in it."""

    def __init__(self, *, seed: int, base: str, stream: Stream) -> None:
        self.stream = stream
        self.world = World(seed=seed, base=base, stream=stream)
        self.pusher = Pusher(self.world)
        self.platforms: dict[str, Platform] = {kind.name: kind(self.world, self.pusher) for kind in _PLATFORMS}
        self._routes: list[tuple[Platform, Route]] = [
            (platform, route) for platform in self.platforms.values() for route in platform.routes()
        ]
        # A fixed address needs no walk over all patterns.
        self._plain = {route.pattern.pattern: (platform, route) for platform, route in self._routes}

    @property
    def wechat(self) -> WeChat:
        """The official account."""
        wechat = self.platforms["wechat"]
        assert isinstance(wechat, WeChat)
        return wechat

    def settings(self) -> dict[str, str]:
        """The product's settings, without their prefix."""
        found: dict[str, str] = {}
        for platform in self.platforms.values():
            found |= platform.settings()
        # The other services have no setting: the address is a part of each channel.
        fixed = ("discord", "pushplus", "serverchan", "wxpusher")
        return {**found, **{f"{name.upper()}_BASE": f"{self.world.base}/{name}" for name in fixed}}

    async def answer(self, request: Request) -> Response:
        """Answer one call of the product, apply the faults, and log it."""
        found = self._find(request.path)
        if found is None:
            return Response.of_text("no such address", 404)
        platform, route, match = found
        hop = _hop_of(request, platform.name)
        began = time.monotonic()
        try:
            response = await self._hurt(platform, partial(route.answer, request, match), request, hop)
            hop.status = response.status
            if isinstance(response.body, bytes):
                hop.answer = response.body[:_BODY_KEPT].decode("utf-8", "replace")
            return response
        except HangUp:
            hop.note = "connection dropped"
            raise
        finally:
            hop.ms = round((time.monotonic() - began) * 1000, 1)
            self.world.log(hop)

    def _find(self, path: str) -> tuple[Platform, Route, re.Match[str]] | None:
        candidates = [self._plain[path]] if path in self._plain else self._routes
        for platform, route in candidates:
            match = route.pattern.fullmatch(path)
            if match is not None:
                return platform, route, match
        return None

    async def _hurt(
        self, platform: Platform, answer: Callable[[], Response | Awaitable[Response]], request: Request, hop: Hop
    ) -> Response:
        faults = self.world.faults
        for fault in faults.take_matching("call", hop.path, hop.chat):
            try:
                refusal = self._refusal(fault, platform, request)
            except (KeyError, ValueError) as exc:
                # The platform does not have this fault: the answer must not look like the platform's own.
                refusal = Response.of_text(f"{fault.kind} makes no sense at {platform.name}: {exc}", 500)
            if refusal is not None:
                response = refusal
                break
        else:
            answered = answer()
            response = await answered if isinstance(answered, Awaitable) else answered
        for fault in faults.take_matching("answer", hop.path, hop.chat):
            match fault.kind:
                case "delay_ms":
                    await asyncio.sleep(int(fault.value) / 1000)
                case "truncate_json":
                    response.cut = len(response.body) // 2 if isinstance(response.body, bytes) else None
                case "drop_answer":
                    raise HangUp
        return response

    def _refusal(self, fault: Fault, platform: Platform, request: Request) -> Response | None:
        """Return the answer that the fault gives instead of the platform; None: the platform answers."""
        token = request.query.get("access_token", "")
        match fault.kind:
            case "errcode":
                return platform.refuse(fault.value)
            case "expire_token":
                platform.expire_token(token)
                return None
            case "invalidate_token":
                return platform.refuse("40001") if token else None
            case "quota":
                if fault.until is None:
                    fault.until = platform.quota_ends(fault.value)
                return platform.refuse(fault.value) if self.world.clock.now() < fault.until else None
            case "http":
                return Response.of_text(f"HTTP {fault.value}", int(fault.value))
            case "html":
                return Response.of_text("<!doctype html><title>upgrading</title>", kind="text/html")
        raise HangUp


class Server:
    """The parts that survive a reset: the port, the listeners of the event stream, the control token."""

    def __init__(self, *, seed: int, token: str) -> None:
        self._seed = seed
        self._stream = Stream()
        self._base = ""
        self._simulation: Simulation | None = None
        self._control = Control(self.simulation, self.reset, token)

    def simulation(self) -> Simulation:
        """Return the current simulation."""
        assert self._simulation is not None
        return self._simulation

    def begin(self, base: str) -> None:
        """Start a simulation with this base address."""
        self._base = base
        self._simulation = Simulation(seed=self._seed, base=base, stream=self._stream)

    def reset(self, keep_accounts: bool) -> None:
        """Replace the simulation by a new one with the same seed."""
        before = self.simulation()
        before.world.end()
        self.begin(self._base)
        if keep_accounts:
            for name, platform in before.platforms.items():
                if platform.account():
                    self.simulation().platforms[name].configure(platform.account())
        self._stream.publish("reset", None)

    async def answer(self, request: Request) -> Response:
        """Answer a control call, a page or a platform's call."""
        if request.path.startswith("/_sim/"):
            return await self._control.answer(request)
        if request.method == "GET":
            page = page_answer(request.path)
            if page is not None:
                return page
        return await self.simulation().answer(request)


def _hop_of(request: Request, platform: str) -> Hop:
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    return Hop(
        direction="in",
        platform=platform,
        method=request.method,
        url=request.path + (f"?{query}" if query else ""),
        path=request.path,
        chat=_addressee(request.body),
        query=request.query,
        headers=request.headers,
        body=request.body[:_BODY_KEPT].decode("utf-8", "replace"),
    )


def _addressee(body: bytes) -> str:
    """Return the receiver that the body names, or ""."""
    try:
        values = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(values, Mapping):
        return ""
    return str(values.get("touser") or values.get("chat_id") or values.get("channel") or "")


async def _run(arguments: argparse.Namespace) -> None:
    token = arguments.control_token or secrets.token_urlsafe(16)
    server = Server(seed=arguments.seed, token=token)
    try:
        listening = await serve(server.answer, host=_HOST, port=arguments.port)
    except OSError as exc:
        sys.exit(f"port {arguments.port}: {exc.strerror}; --port takes another, 0 a free one")
    port = listening.sockets[0].getsockname()[1]
    server.begin(f"http://{_HOST}:{port}")
    accounts = {
        "wechat": {"callback_url": arguments.wechat_callback, "kind": arguments.kind, "mode": arguments.mode},
        "wecom": {"callback_url": arguments.wecom_callback},
        "telegram": {"webhook_url": arguments.telegram_webhook},
        "slack": {"command_url": arguments.slack_command},
    }
    for name, options in accounts.items():
        server.simulation().platforms[name].configure(options)
    print(f"http://{_HOST}:{port}/chat#{token}", flush=True)
    for name, value in server.simulation().settings().items():
        print(f"export LETSERVER_{name}={shlex.quote(value)}")
    print(flush=True)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    listening.close()


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m devtools.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=9797, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same ids")
    parser.add_argument("--control-token", default="", help="what /_sim/ asks for; made by chance without it")
    parser.add_argument("--kind", default="service", choices=("service", "subscription", "test"))
    parser.add_argument("--mode", default="safe", choices=("plain", "compat", "safe"))
    parser.add_argument("--wechat-callback", default="", metavar="URL")
    parser.add_argument("--wecom-callback", default="", metavar="URL")
    parser.add_argument("--telegram-webhook", default="", metavar="URL")
    parser.add_argument("--slack-command", default="", metavar="URL")
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args()))
