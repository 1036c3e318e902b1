"""DingTalk group robots (钉钉开放平台 · 自定义机器人发送群消息). Always HTTP 200; the code is in the body."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final

from devtools.simulator import errors
from devtools.simulator.base import Platform, Route
from devtools.simulator.clock import Pace
from devtools.simulator.crypto import dingtalk_signature
from devtools.simulator.push import Pusher
from devtools.simulator.robots import Robot, all_text
from devtools.simulator.wire import Request, Response
from devtools.simulator.world import World

_SKEW_SECONDS: Final = 3600
_BLOCKED_SECONDS: Final = 600
_LARGEST_BYTES: Final = 20 * 1024
_KINDS: Final = ("text", "markdown", "link", "actionCard", "feedCard")


class DingTalk(Platform):
    """Robots by `access_token`."""

    name = "dingtalk"

    def __init__(self, world: World, pusher: Pusher) -> None:
        super().__init__(world, pusher)
        self._robots: dict[str, Robot] = {"demo": Robot()}
        self._minute = Pace.of(world.clock, 20, 60)
        self._blocked_until: dict[str, float] = {}

    def routes(self) -> list[Route]:
        return [Route.of("/robot/send", self._send)]

    def settings(self) -> Mapping[str, str]:
        """Return the base address of the robots."""
        return {"DINGTALK_BASE": self.world.base}

    def refuse(self, code: str, **words: object) -> Response:
        message = errors.DINGTALK[code].message.format(**{"why": "sign not match", **words})
        return Response.of_json({"errcode": int(code), "errmsg": message})

    def quota_ends(self, code: str) -> float:
        """Return the end of the ten minutes for which a robot over its rate (130101) is blocked."""
        return self.world.clock.now() + _BLOCKED_SECONDS if code == "130101" else super().quota_ends(code)

    def configure_robot(self, key: str, options: Mapping[str, object]) -> None:
        """Add or change a robot. Raises ValueError."""
        self._robots.setdefault(key, Robot()).configure(options)

    def _send(self, request: Request, _match: re.Match[str]) -> Response:
        key = request.query.get("access_token", "")
        robot = self._robots.get(key)
        if not key:
            return self.refuse("400101")
        if robot is None or robot.gone:
            return self.refuse("300001")
        try:
            body = request.json_object()
        except ValueError:
            return self.refuse("40035")
        kind = str(body.get("msgtype"))
        content = body.get(kind) if kind in _KINDS else None
        if request.method != "POST" or not content or len(request.body) > _LARGEST_BYTES:
            return self.refuse("40035")
        why = self._problem(robot, request, all_text(content))
        if why:
            return self.refuse("310000", why=why)
        now = self.world.clock.now()
        if self._blocked_until.get(key, 0) > now:
            return self.refuse("130101")
        if self._minute.take(key):
            self._blocked_until[key] = now + _BLOCKED_SECONDS
            return self.refuse("130101")
        chat = self.world.room(self.name, key)
        self.world.note(chat, "account", "robot", all_text(content), format=kind, content=body)
        return Response.of_json({"errcode": 0, "errmsg": "ok"})

    @staticmethod
    def _problem(robot: Robot, request: Request, text: str) -> str:
        if robot.secret:
            timestamp = request.query.get("timestamp", "")
            if not timestamp.isdigit() or abs(time.time() - int(timestamp) / 1000) > _SKEW_SECONDS:
                return "invalid timestamp"
            if request.query.get("sign") != dingtalk_signature(timestamp, robot.secret):
                return "sign not match"
        if robot.ip_allow and request.peer not in robot.ip_allow:
            return f"ip {request.peer} not in whitelist"
        return "keywords not in content" if robot.keyword not in text else ""
