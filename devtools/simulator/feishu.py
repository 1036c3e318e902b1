"""Feishu and Lark group robots (飞书开放平台 · 自定义机器人使用指南). Always HTTP 200; the code is in the body."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final

from devtools.simulator import errors
from devtools.simulator.base import Platform, Route
from devtools.simulator.clock import Pace
from devtools.simulator.crypto import feishu_signature
from devtools.simulator.push import Pusher
from devtools.simulator.robots import Robot, all_text
from devtools.simulator.wire import Request, Response
from devtools.simulator.world import World

_SKEW_SECONDS: Final = 3600
_LARGEST_BYTES: Final = 20 * 1024
_KINDS: Final = {
    "text": "content",
    "post": "content",
    "image": "content",
    "share_chat": "content",
    "interactive": "card",
}


class Feishu(Platform):
    """Robots by the last part of their address."""

    name = "feishu"

    def __init__(self, world: World, pusher: Pusher) -> None:
        super().__init__(world, pusher)
        self._robots: dict[str, Robot] = {"demo": Robot()}
        self._minute = Pace.of(world.clock, 100, 60)
        self._second = Pace.of(world.clock, 5, 1)

    def routes(self) -> list[Route]:
        return [Route.of("/open-apis/bot/v2/hook/(?P<key>[^/]+)", self._hook)]

    def settings(self) -> Mapping[str, str]:
        """Return the base address of the robots."""
        return {"FEISHU_BASE": self.world.base}

    def refuse(self, code: str, **_words: object) -> Response:
        return Response.of_json({"code": int(code), "data": {}, "msg": errors.FEISHU[code].message})

    def configure_robot(self, key: str, options: Mapping[str, object]) -> None:
        """Add or change a robot. Raises ValueError."""
        self._robots.setdefault(key, Robot()).configure(options)

    def _hook(self, request: Request, match: re.Match[str]) -> Response:
        robot = self._robots.get(match["key"])
        if robot is None or robot.gone:
            return self.refuse("19001")
        try:
            body = request.json_object()
        except ValueError:
            return self.refuse("9499")
        kind = str(body.get("msg_type"))
        content = body.get(_KINDS.get(kind, ""))
        if request.method != "POST" or not content or len(request.body) > _LARGEST_BYTES:
            return self.refuse("9499")
        code = self._refusal(robot, body, all_text(content), request.peer)
        if not code and (self._minute.take(match["key"]) or self._second.take(match["key"])):
            code = "11232"
        if code:
            return self.refuse(code)
        chat = self.world.room(self.name, match["key"])
        self.world.note(chat, "account", "robot", all_text(content), format=kind, content=body)
        answer = {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}
        return Response.of_json(answer)

    @staticmethod
    def _refusal(robot: Robot, body: Mapping[str, object], text: str, peer: str) -> str:
        if robot.secret:
            timestamp = str(body.get("timestamp", ""))
            fresh = timestamp.isdigit() and abs(time.time() - int(timestamp)) <= _SKEW_SECONDS
            if not fresh or body.get("sign") != feishu_signature(timestamp, robot.secret):
                return "19021"
        if robot.ip_allow and peer not in robot.ip_allow:
            return "19022"
        return "19024" if robot.keyword not in text else ""
