"""WeCom (企业微信): group robots, application messages and the application's callback (企业微信开发者中心)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

from devtools.simulator import errors
from devtools.simulator.base import Answerer, Platform, Route, keep_known
from devtools.simulator.clock import Pace
from devtools.simulator.push import Pusher
from devtools.simulator.wecom_push import Account, Callback
from devtools.simulator.wire import Request, Response
from devtools.simulator.world import Chat, World

_TOKEN_SECONDS: Final = 7200
_TEXT_BYTES: Final = 2048
_MARKDOWN_BYTES: Final = 4096
_ROBOT_KINDS: Final = (
    "text", "markdown", "markdown_v2", "image", "news", "file", "voice", "template_card",
)  # fmt: skip
_APP_KINDS: Final = (
    "text",
    "markdown",
    "textcard",
    "image",
    "news",
    "mpnews",
    "file",
    "voice",
    "video",
    "template_card",
)
_SMALLEST_FILE_BYTES: Final = 5
_LARGEST_FILE_BYTES: Final = 20 * 1024 * 1024


class _Refused(Exception):
    def __init__(self, code: str, **words: object) -> None:
        super().__init__(code)
        self.code = code
        self.words = words


class WeCom(Platform):
    """One corp."""

    name = "wecom"

    def __init__(self, world: World, pusher: Pusher) -> None:
        super().__init__(world, pusher)
        self._callback = Callback(world, pusher)
        self._account = self._callback.account
        self._tokens: dict[str, float] = {}
        self._token = ""
        self._members = self._callback.members
        self._robots: set[str] = {"demo"}
        self._robot_pace = Pace.of(world.clock, 20, 60)
        self._member_pace = Pace.of(world.clock, 30, 60)
        self._member_hour = Pace.of(world.clock, 1000, 3600)
        self._sent: dict[tuple[str, str], float] = {}
        self._person_times: dict[str, int] = {}
        self._media: dict[str, str] = {}

    def routes(self) -> list[Route]:
        return [
            Route.of("/cgi-bin/gettoken", self._get_token),
            Route.of("/cgi-bin/message/send", self._guard(self._send)),
            Route.of("/cgi-bin/webhook/send", self._guard(self._robot)),
            Route.of("/cgi-bin/webhook/upload_media", self._guard(self._upload)),
        ]

    def refuse(self, code: str, **words: object) -> Response:
        message = errors.WECOM[code].message.format(**{"ip": "127.0.0.1", "why": "invalid", **words})
        hint = f", hint: [{int(time.time())}{self.world.rng.randrange(10**9):09d}], from ip: 127.0.0.1"
        more = ", more info at https://open.work.weixin.qq.com/devtool/query?e=" + code
        return Response.of_json({"errcode": int(code), "errmsg": message + hint + more})

    def settings(self) -> Mapping[str, str]:
        account = self._account
        return {
            "WECOM_CORP_ID": account.corp_id,
            "WECOM_AGENT_ID": str(account.agent_id),
            "WECOM_SECRET": account.secret,
            "WECOM_TOKEN": account.token,
            "WECOM_AES_KEY": account.aes_key,
            "WECOM_API_BASE": self.world.base,
        }

    def configure(self, options: Mapping[str, object]) -> None:
        """Change the settings. Raises ValueError."""
        known = {name: type(value) for name, value in asdict(Account()).items()}
        for name, value in keep_known(options, known).items():
            setattr(self._account, name, value)

    def account(self) -> Mapping[str, object]:
        return asdict(self._account)

    def configure_robot(self, key: str, options: Mapping[str, object]) -> None:
        """Add a robot; `{"gone": true}` removes it from its group."""
        if keep_known(options, {"gone": bool}).get("gone"):
            self._robots.discard(key)
        else:
            self._robots.add(key)

    def expire_token(self, token: str) -> None:
        if token in self._tokens:
            self._tokens[token] = self.world.clock.now()
        self._token = ""

    def add_person(self, options: Mapping[str, object]) -> Chat:
        """Add a member. Raises ValueError."""
        return self._callback.add_person(options)

    async def act(self, chat: Chat, action: str, options: Mapping[str, object]) -> Mapping[str, object]:
        """Write to the application. Raises NotHere, ValueError."""
        return await self._callback.act(chat, action, options)

    async def handshake(self) -> Mapping[str, object]:
        """Check the callback address as the platform does when an administrator enters it."""
        return await self._callback.handshake()

    def _guard(self, answer: Callable[[Request], object]) -> Answerer:
        def wrapped(request: Request, _match: re.Match[str]) -> Response:
            try:
                return Response.of_json(answer(request))
            except _Refused as refused:
                return self.refuse(refused.code, **refused.words)

        return wrapped

    @staticmethod
    def _body(request: Request) -> tuple[dict[str, object], str, Mapping[str, object]]:
        """Return the call's object, its kind of message, and the part of that kind."""
        try:
            body = request.json_object()
        except ValueError as exc:
            raise _Refused("47001") from exc
        kind = body.get("msgtype")
        inner = body.get(kind) if isinstance(kind, str) else None
        return body, str(kind), inner if isinstance(inner, Mapping) else {}

    # Robots.

    def _key(self, request: Request) -> str:
        key = request.query.get("key", "")
        if key not in self._robots:
            raise _Refused("93000")
        return key

    def _robot(self, request: Request) -> object:
        """Accept at most 20 messages a minute for each robot; a refusal is HTTP 200 with a code."""
        key = self._key(request)
        body, kind, inner = self._body(request)
        if kind not in _ROBOT_KINDS:
            raise _Refused("40008")
        text = inner.get("content", "")
        if kind in ("text", "markdown", "markdown_v2"):
            limit = _TEXT_BYTES if kind == "text" else _MARKDOWN_BYTES
            if not isinstance(text, str) or not text:
                raise _Refused("44004")
            if len(text.encode()) > limit:
                raise _Refused("40058", why=f"{kind}.content exceed max length {limit}")
        elif kind in ("file", "voice") and self._media.get(str(inner.get("media_id"))) != key:
            raise _Refused("40058", why=f"{kind}.media_id invalid")
        elif not inner:
            raise _Refused("40058", why=f"{kind} missing")
        if self._robot_pace.take(key):
            raise _Refused("45009")
        mentions = [*_texts(inner.get("mentioned_list")), *_texts(inner.get("mentioned_mobile_list"))]
        chat = self.world.room("wecom", key)
        shown = text if isinstance(text, str) and text else f"[{kind}]"
        self.world.note(chat, "account", "robot", shown, format=kind, mentions=mentions, content=dict(body))
        return {"errcode": 0, "errmsg": "ok"}

    def _upload(self, request: Request) -> object:
        """Keep a file for three days, for this robot only."""
        key = self._key(request)
        kind = request.query.get("type", "")
        if kind not in ("file", "voice"):
            raise _Refused("40058", why="type invalid")
        parts = re.search(rb"filename=.*?\r\n\r\n(.*)\r\n--", request.body, re.DOTALL)
        if parts is None or not _SMALLEST_FILE_BYTES < len(parts[1]) <= _LARGEST_FILE_BYTES:
            raise _Refused("40058", why="media size invalid")
        media_id = "3" + self.world.word(63)
        self._media[media_id] = key
        return {"errcode": 0, "errmsg": "ok", "type": kind, "media_id": media_id, "created_at": str(int(time.time()))}

    # Application messages.

    def _get_token(self, request: Request, _match: re.Match[str]) -> Response:
        """Answer with the same token until its end."""
        account, now = self._account, self.world.clock.now()
        if request.query.get("corpid") != account.corp_id:
            return self.refuse("40013")
        if request.query.get("corpsecret") != account.secret:
            return self.refuse("40001")
        if self._tokens.get(self._token, 0) <= now:
            self._token = self.world.word(214, more="-_")
            self._tokens[self._token] = now + _TOKEN_SECONDS
        left = int(self._tokens[self._token] - now)
        return Response.of_json({"errcode": 0, "errmsg": "ok", "access_token": self._token, "expires_in": left})

    def _check_token(self, request: Request) -> None:
        token = request.query.get("access_token", "")
        if not token:
            raise _Refused("41001")
        if token not in self._tokens:
            raise _Refused("40014")
        if self._tokens[token] <= self.world.clock.now():
            raise _Refused("42001")
        if self._account.ip_allow and request.peer not in self._account.ip_allow:
            raise _Refused("60020", ip=request.peer)

    def _send(self, request: Request) -> object:
        """Send to members.

        The answer is 0 and names unknown receivers. A text over 2048 bytes is cut; messages above the rate are dropped
        without an error.
        """
        self._check_token(request)
        body, kind, inner = self._body(request)
        if str(body.get("agentid")) != str(self._account.agent_id):
            raise _Refused("40056")
        if kind not in _APP_KINDS:
            raise _Refused("40008")
        text = inner.get("content") or inner.get("description") or inner.get("title") or f"[{kind}]"
        if kind in ("text", "markdown") and not inner.get("content"):
            raise _Refused("44004")
        wanted = [name for name in str(body.get("touser") or "").split("|") if name]
        everybody = wanted == ["@all"]
        members = list(self._members) if everybody else [name for name in wanted if name in self._members]
        if not members:
            raise _Refused("81013")
        self._count_person_times(len(members))
        whole = str(text).encode()
        cut = whole[:_TEXT_BYTES].decode("utf-8", "ignore")
        if not self._is_repeat(body, members, cut):
            for member in members:
                self._show(member, kind, cut, dict(body), was_cut=len(whole) > _TEXT_BYTES)
        strangers = [] if everybody else [name for name in wanted if name not in self._members]
        named = {"invaliduser": "|".join(strangers)} if strangers else {}
        return {"errcode": 0, "errmsg": "ok", **named, "msgid": self.world.word(64, more="-_")}

    def _show(self, member: str, kind: str, text: str, body: dict[str, object], *, was_cut: bool) -> None:
        if self._member_pace.take(member) or self._member_hour.take(member):
            return
        self.world.note(
            self._members[member], "account", "app", text, format=kind, content=body, cut=was_cut
        )  # fmt: skip

    def _count_person_times(self, number: int) -> None:
        day = self.world.clock.day()
        counted = self._person_times.get(day, 0) + number
        if counted > self._account.accounts * 200:
            raise _Refused("45009")
        self._person_times[day] = counted

    def _is_repeat(self, body: Mapping[str, object], members: list[str], text: str) -> bool:
        """Return whether `enable_duplicate_check` drops this message as a repeat within the interval."""
        if not body.get("enable_duplicate_check"):
            return False
        mark, now = ("|".join(members), text), self.world.clock.now()
        seconds = body.get("duplicate_check_interval")
        known = self._sent.get(mark)
        if known is not None and now - known < (seconds if isinstance(seconds, int) else 1800):
            return True
        self._sent[mark] = now
        return False


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
