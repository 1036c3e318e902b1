"""Pushes a person's action to the product: one request, a timeout in real time, and retries with the same message.

WeChat cuts the connection after 5 seconds and pushes again at once, with the same MsgId and a new signature; after 30
failures in 5 minutes it pushes nothing for a minute (微信开放文档 · 接收消息 · 微信推送消息与事件说明). The other
platforms differ only in timeout and number of attempts.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from devtools.simulator.faults import Fault
from devtools.simulator.wire import Fetched, NoAnswer, fetch
from devtools.simulator.world import Chat, Hop, World

_FAILURES_WINDOW_SECONDS: Final = 300
_PAUSE_SECONDS: Final = 60
_EARLY_SECONDS: Final = 0.05
_HELD_SECONDS: Final = 10.0
_ANSWER_KEPT: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Tamper:
    """Defects of a delivery, made on purpose."""

    bad_signature: bool = False
    seconds_old: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One request to the product; `plain` is its body as a person can read it."""

    url: str
    headers: dict[str, str]
    body: bytes
    plain: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The meaning of an answer: `silent`, `reply` (with `text`), `bad` (with `why`), `failed` (with `why`; retried)."""

    kind: str
    text: str = ""
    why: str = ""
    via: str = "passive"
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One message for the product. `trouble`: the line that the person sees if no answer is usable; "" for none."""

    platform: str
    chat: Chat
    build: Callable[[Tamper], Outgoing]
    read: Callable[[Fetched], Verdict]
    seconds: float
    deliveries: int
    trouble: str = ""


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One request of a push and its result. `why`: first, repeat, early, dup."""

    why: str
    status: int
    ms: float
    answer: str
    verdict: Verdict

    def shown(self) -> dict[str, object]:
        verdict = self.verdict
        reply = verdict.text if verdict.kind == "reply" else None
        return {
            "why": self.why,
            "status": self.status,
            "ms": self.ms,
            "answer": self.answer,
            "verdict": verdict.kind,
            "problem": verdict.why,
            "reply": reply,
        }


class Pusher:
    """Sends the pushes of all platforms."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._failures: deque[float] = deque()
        self._paused_until = 0.0
        self._held: dict[str, asyncio.Event] = {}
        self.failures_allowed = 30

    async def send(self, push: Push) -> dict[str, object]:
        """Deliver, show the reply, and return `{paused, reply, deliveries}`."""
        world, chat = self._world, push.chat
        if world.clock.now() < self._paused_until:
            world.note(chat, "system", "system", "推送已暂停（MarkFail），这条消息没有送达")
            return {"paused": True, "reply": None, "deliveries": []}
        faults = world.faults.take_matching("push", f"push/{push.platform}", chat.id)
        kinds = {fault.kind for fault in faults}
        tamper = Tamper(bad_signature="bad_signature" in kinds, seconds_old=600 if "replay" in kinds else 0)
        if "reorder" in kinds:
            await self._wait_for_next(chat)
        deliveries = await self._first(push, tamper, early="early_dup_push" in kinds)
        verdict = deliveries[-1].verdict if deliveries[0].verdict.kind == "failed" else deliveries[0].verdict
        self._show(push, verdict)
        for _ in range(_repeats(faults)):
            deliveries.append(await self._once(push, tamper, "dup", len(deliveries) + 1))
        if "reorder" not in kinds and (held := self._held.pop(chat.id, None)) is not None:
            held.set()
        reply = verdict.text if verdict.kind == "reply" else None
        return {"paused": False, "reply": reply, "deliveries": [delivery.shown() for delivery in deliveries]}

    async def _wait_for_next(self, chat: Chat) -> None:
        event = self._held.setdefault(chat.id, asyncio.Event())
        try:
            async with asyncio.timeout(_HELD_SECONDS):
                await event.wait()
        except TimeoutError:
            # No other push followed: send it now.
            self._held.pop(chat.id, None)

    async def _first(self, push: Push, tamper: Tamper, *, early: bool) -> list[Delivery]:
        """Deliver until an answer is not `failed`, at most `push.deliveries` times."""
        if early:
            first = asyncio.create_task(self._once(push, tamper, "first", 1))
            await asyncio.wait({first}, timeout=_EARLY_SECONDS)
            second = await self._once(push, tamper, "early", 2)
            return [await first, second]
        deliveries: list[Delivery] = []
        while len(deliveries) < push.deliveries:
            why = "repeat" if deliveries else "first"
            deliveries.append(await self._once(push, tamper, why, len(deliveries) + 1))
            if deliveries[-1].verdict.kind != "failed":
                break
        return deliveries

    async def _once(self, push: Push, tamper: Tamper, why: str, attempt: int) -> Delivery:
        outgoing = push.build(tamper)
        delivery = await self.exchange(outgoing, push.read, push.seconds, push.platform, push.chat.id, attempt)
        delivery.why = why
        if delivery.verdict.kind == "failed":
            self._count_failure()
        return delivery

    async def exchange(
        self,
        outgoing: Outgoing,
        read: Callable[[Fetched], Verdict],
        seconds: float,
        platform: str,
        chat: str = "",
        attempt: int = 1,
    ) -> Delivery:
        """Send one request, read the answer and log both."""
        path = f"push/{platform}"
        hop = Hop(
            direction="out",
            platform=platform,
            method=outgoing.method,
            url=outgoing.url,
            path=path,
            chat=chat,
            headers=outgoing.headers,
            body=outgoing.body.decode("utf-8", "replace"),
            plain=outgoing.plain,
            attempt=attempt,
        )
        began = time.monotonic()
        try:
            fetched = await fetch(
                outgoing.url, method=outgoing.method, headers=outgoing.headers, body=outgoing.body, seconds=seconds
            )
        except TimeoutError:
            verdict = Verdict(kind="failed", why=f"no answer within {seconds:g} s, connection cut")
        except NoAnswer as exc:
            verdict = Verdict(kind="failed", why=f"no connection: {exc}")
        else:
            hop.status = fetched.status
            hop.answer = fetched.body[:_ANSWER_KEPT].decode("utf-8", "replace")
            ok = 200 <= fetched.status < 300
            verdict = read(fetched) if ok else Verdict(kind="failed", why=f"HTTP {fetched.status}")
        hop.ms = round((time.monotonic() - began) * 1000, 1)
        hop.note = " ".join(filter(None, (verdict.kind, verdict.why)))
        self._world.log(hop)
        return Delivery(why="first", status=hop.status, ms=hop.ms, answer=hop.answer, verdict=verdict)

    def _count_failure(self) -> None:
        now = self._world.clock.now()
        self._failures.append(now)
        while self._failures[0] <= now - _FAILURES_WINDOW_SECONDS:
            self._failures.popleft()
        if len(self._failures) >= self.failures_allowed:
            self._failures.clear()
            self._paused_until = now + _PAUSE_SECONDS

    def _show(self, push: Push, verdict: Verdict) -> None:
        if verdict.kind == "reply":
            self._world.note(push.chat, "account", verdict.via, verdict.text, **verdict.extra)
        elif verdict.kind in ("bad", "failed") and push.trouble:
            self._world.note(push.chat, "system", "system", push.trouble, why=verdict.why)


def _repeats(faults: list[Fault]) -> int:
    return sum(int(fault.value) for fault in faults if fault.kind == "dup_push")
