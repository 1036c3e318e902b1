"""The official account (公众号、服务号、测试号): customer-service and template messages (微信开放文档 · 公众号).

Tokens and quotas are in `wechat_state.py`, menus, QR codes and lists of people in `wechat_account.py`, the actions of a
person and their pushes to the product in `wechat_push.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from devtools.simulator import templates
from devtools.simulator.base import Platform, Route
from devtools.simulator.push import Pusher
from devtools.simulator.wechat_account import Pages
from devtools.simulator.wechat_push import Callback
from devtools.simulator.wechat_state import Refused, State
from devtools.simulator.wire import Request, Response
from devtools.simulator.world import Chat, World

_TEXT_BYTES: Final = 2048
_TYPING_SECONDS: Final = 15
_INTERACTION_SECONDS: Final = 30
_SAME_MESSAGE_SECONDS: Final = 600
_OTHER_KINDS: Final = (
    "image",
    "voice",
    "video",
    "music",
    "news",
    "mpnews",
    "mpnewsarticle",
    "miniprogrampage",
    "wxcard",
)


class WeChat(Platform):
    """The account as a platform of the server."""

    name = "wechat"

    def __init__(self, world: World, pusher: Pusher) -> None:
        super().__init__(world, pusher)
        self._state = State(world)
        self._pages = Pages(self._state)
        self._callback = Callback(self._state, pusher)
        self._sent: dict[tuple[str, str], tuple[float, int]] = {}

    def routes(self) -> list[Route]:
        """Tokens, sending, and the account's pages."""
        state = self._state
        return [
            Route.of("/cgi-bin/token", state.get_token),
            Route.of("/cgi-bin/stable_token", state.stable_token),
            Route.of("/cgi-bin/message/custom/send", state.guarded(self._send, method="POST")),
            Route.of("/cgi-bin/message/custom/typing", state.guarded(self._typing, method="POST")),
            Route.of(
                "/cgi-bin/message/template/send",
                state.guarded(self._template, method="POST", needs=("service", "test")),
            ),
            *self._pages.routes(),
        ]

    def refuse(self, code: str, **words: object) -> Response:
        return self._state.refuse(code, **words)

    def settings(self) -> Mapping[str, str]:
        account = self._state.account
        return {
            "WECHAT_KIND": account.kind,
            "WECHAT_APPID": account.appid,
            "WECHAT_SECRET": account.secret,
            "WECHAT_TOKEN": account.token,
            "WECHAT_AES_KEY": account.aes_key,
            "WECHAT_API_BASE": self.world.base,
            "WECHAT_MP_BASE": self.world.base,
            "WECHAT_TEMPLATE_INFO": templates.INFO_TEMPLATE,
            "WECHAT_TEMPLATE_WARNING": templates.WARNING_TEMPLATE,
            "WECHAT_TEMPLATE_FIELDS": '{"thing1": "title", "thing2": "text", "phrase3": "level", "time4": "time", '
            '"character_string5": "source"}',
        }

    def configure(self, options: Mapping[str, object]) -> None:
        """Change the settings. Raises ValueError."""
        self._state.configure(options)

    def account(self) -> Mapping[str, object]:
        return self._state.shown()

    def expire_token(self, token: str) -> None:
        self._state.expire_token(token)

    def add_person(self, options: Mapping[str, object]) -> Chat:
        """Add a person, who does not follow the account yet. Raises ValueError."""
        return self._callback.add_person(options)

    def person(self, chat: Chat) -> Mapping[str, object]:
        """Return whether the person follows, how many messages they may still get, and the open windows."""
        return self._callback.person(chat)

    def public(self) -> Mapping[str, object]:
        """Return the public parts of the account: its menu and its QR codes."""
        return self._pages.public()

    async def act(self, chat: Chat, action: str, options: Mapping[str, object]) -> Mapping[str, object]:
        """Let a person do something. Raises NotHere, ValueError."""
        return await self._callback.act(chat, action, options)

    async def handshake(self) -> Mapping[str, object]:
        """Check the callback address as the platform does when an owner enters it."""
        return await self._callback.handshake()

    def quota_ends(self, code: str) -> float:
        """Return the next midnight for the daily quota (45009), else a minute from now."""
        return self.world.clock.until_tomorrow() if code == "45009" else super().quota_ends(code)

    def _send(self, request: Request) -> object:
        """Answer `custom/send`; checks in this order: openid, kind of message, window and credit, size."""
        body = self._state.body_of(request)
        person = self._state.follower(body.get("touser"))
        via, text, extra = self._content(body)
        code = person.credit.refusal() if person.followed else "45015"
        if code:
            raise Refused(code)
        if len(text.encode()) > _TEXT_BYTES:
            raise Refused("45002")
        self._state.count("kf")
        person.credit.spend()
        person.typing_until = 0.0
        credit = person.credit
        self.world.note(person.chat, "account", via, text, left=credit.left, until=credit.until, **extra)
        return {"errcode": 0, "errmsg": "ok"}

    @staticmethod
    def _content(body: Mapping[str, object]) -> tuple[str, str, dict[str, object]]:
        kind = body.get("msgtype")
        inner = body.get(kind) if isinstance(kind, str) else None
        if kind not in ("text", "msgmenu", *_OTHER_KINDS):
            raise Refused("40008")
        if not isinstance(inner, Mapping):
            raise Refused("44004")
        if kind == "text":
            if not isinstance(inner.get("content"), str) or not inner["content"]:
                raise Refused("44004")
            return "kf", inner["content"], {}
        if kind == "msgmenu":
            choices = [item for item in inner.get("list", []) if isinstance(item, Mapping)]
            menu = [{"id": str(item.get("id", "")), "content": str(item.get("content", ""))} for item in choices]
            head, tail = str(inner.get("head_content", "")), str(inner.get("tail_content", ""))
            return "kf", head, {"menu": menu, "tail": tail}
        return "kf", f"[{kind}]", {"content": dict(inner)}

    def _typing(self, request: Request) -> object:
        """Answer `custom/typing`: the sign shows for 15 seconds, if the person did something in the last 30."""
        body = self._state.body_of(request)
        person = self._state.follower(body.get("touser"))
        now = self.world.clock.now()
        match body.get("command"):
            case "Typing":
                if now - person.spoke_at > _INTERACTION_SECONDS:
                    raise Refused("45080")
                if person.typing_until > now:
                    raise Refused("45081")
                person.typing_until = now + _TYPING_SECONDS
            case "CancelTyping":
                person.typing_until = 0.0
            case _:
                raise Refused("45072")
        self.world.note(person.chat, "account", "typing", "", until=person.typing_until or None)
        return {"errcode": 0, "errmsg": "ok"}

    def _template(self, request: Request) -> object:
        """Answer `template/send`. 0 means accepted; a later event says whether it was delivered."""
        body = self._state.body_of(request)
        person = self._state.follower(body.get("touser"))
        template = self._state.templates.get(str(body.get("template_id")))
        if template is None:
            raise Refused("40037")
        data = body.get("data")
        if not isinstance(data, Mapping) or not all(isinstance(value, Mapping) for value in data.values()):
            raise Refused("47001")
        if not person.followed:
            raise Refused("43004")
        if person.refuses == "at_once":
            raise Refused("43101")
        fault = templates.first_fault(template, data) if self._state.account.strict_fields else None
        if fault is not None:
            raise Refused("47003", field=fault[0], why=fault[1])
        now = self.world.clock.now()
        mark = (person.chat.id, str(body.get("client_msg_id") or ""))
        if mark[1] and mark in self._sent and now - self._sent[mark][0] < _SAME_MESSAGE_SECONDS:
            return {"errcode": 0, "errmsg": "ok", "msgid": self._sent[mark][1]}
        self._state.count("template")
        msgid = self.world.rng.randrange(10**18, 9 * 10**18)
        if mark[1]:
            self._sent[mark] = (now, msgid)
        if person.refuses != "late":
            self.world.note(
                person.chat,
                "account",
                "template",
                template.title,
                rows=template.rows(data),
                url=str(body.get("url") or ""),
                template_id=template.template_id,
                data={name: dict(value) for name, value in data.items()},
                client_msg_id=mark[1],
                msgid=msgid,
            )
        self._callback.template_sent(person, msgid, "failed:user block" if person.refuses == "late" else "success")
        return {"errcode": 0, "errmsg": "ok", "msgid": msgid}
