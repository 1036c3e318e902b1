"""Actions of a person with the official account, and their pushes to the product.

Pages: 微信开放文档 · 公众号 · 接收普通消息, 接收事件推送, 消息加解密说明.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from devtools.simulator.base import NotHere, text_of
from devtools.simulator.crypto import Unreadable, cdata, encrypt, open_envelope, sha1_signature, xml_fields
from devtools.simulator.push import Outgoing, Push, Pusher, Tamper, Verdict
from devtools.simulator.wechat_state import Follower, State
from devtools.simulator.windows import Credit
from devtools.simulator.wire import Fetched
from devtools.simulator.world import Chat

SECONDS: Final = 5.0
_TROUBLE: Final = "该公众号提供的服务出现故障，请稍后再试"
_TEXT_BYTES: Final = 2048
_FINISHED_AFTER_SECONDS: Final = 0.2
_REPLY_KINDS: Final = ("text", "image", "voice", "video", "music", "news")
_OTHER_MESSAGES: Final = {
    "image": {"PicUrl": "http://127.0.0.1/picture.jpg", "MediaId": "media-1"},
    "voice": {"MediaId": "media-1", "Format": "amr"},
    "video": {"MediaId": "media-1", "ThumbMediaId": "media-2"},
    "shortvideo": {"MediaId": "media-1", "ThumbMediaId": "media-2"},
    "location": {"Location_X": "23.134", "Location_Y": "113.358", "Scale": "20", "Label": "somewhere"},
    "link": {"Title": "a title", "Description": "a description", "Url": "https://example.com/"},
    "miniprogrampage": {"Title": "a title", "AppId": "wx1", "PagePath": "index", "ThumbUrl": "", "ThumbMediaId": ""},
}
_NUMBERS: Final = ("CreateTime", "MsgId", "MsgID", "AgentID")


def xml_of(values: Mapping[str, object]) -> str:
    """Return the body of a push: texts in CDATA, numbers bare."""
    parts = (f"<{name}>{value if name in _NUMBERS else cdata(str(value))}</{name}>" for name, value in values.items())
    return "<xml>" + "".join(parts) + "</xml>"


class Callback:
    """The people of one account, and the callback to which their actions are pushed."""

    def __init__(self, state: State, pusher: Pusher) -> None:
        self._state = state
        self._world = state.world
        self._pusher = pusher

    def add_person(self, options: Mapping[str, object]) -> Chat:
        """Add a person, who does not follow the account yet. Raises ValueError."""
        world = self._world
        openid = text_of(options, "openid", default="") or "o" + world.word(27, more="-_")
        name = text_of(options, "nickname", default="") or f"用户 {len(self._state.people) + 1}"
        unionid = text_of(options, "unionid", default="") or "o" + world.word(27, more="-_")
        chat = world.new_chat(chat_id=openid, platform="wechat", name=name, kind="user")
        self._state.people[openid] = Follower(chat=chat, credit=Credit(world.clock), unionid=unionid)
        return chat

    def person(self, chat: Chat) -> Mapping[str, object]:
        """Return whether the person follows, how many messages they may still get, and the open windows."""
        person = self._state.people[chat.id]
        return {
            "followed": person.followed,
            "unionid": person.unionid,
            "refuses": person.refuses,
            "left": person.credit.left,
            "until": person.credit.until,
            "windows": person.credit.shown(),
            "typing": person.typing_until > self._world.clock.now(),
        }

    async def act(self, chat: Chat, action: str, options: Mapping[str, object]) -> Mapping[str, object]:
        """Do one action. Raises ValueError, and NotHere for an unknown action or one that needs a follower."""
        person = self._state.people[chat.id]
        match action:
            case "follow":
                return await self._follow(person, text_of(options, "scene", default=""), ticket="")
            case "scan":
                return await self._scan(person, text_of(options, "ticket"))
            case "refuse_template":
                on, late = bool(options.get("on", True)), bool(options.get("late"))
                person.refuses = ("late" if late else "at_once") if on else ""
                self._world.publish("people", None)
                return {}
        if not person.followed:
            raise ValueError(f"{chat.name} does not follow the account")
        match action:
            case "unfollow":
                return await self._unfollow(person)
            case "text":
                return await self._text(person, text_of(options, "content"), text_of(options, "menu_id", default=""))
            case "message":
                return await self._other(person, text_of(options, "type"))
            case "menu":
                return await self._menu(person, text_of(options, "key"), text_of(options, "event", default="CLICK"))
            case "event":
                more = {"EventKey": text_of(options, "key", default="")}
                return await self._push(person, {"MsgType": "event", "Event": text_of(options, "event"), **more})
        raise NotHere(f"nobody can {action} at wechat")

    # Actions.

    async def _text(self, person: Follower, content: str, menu_id: str) -> Mapping[str, object]:
        self._interact(person, "text")
        self._world.note(
            person.chat, "user", "text", content, left=person.credit.left, until=person.credit.until
        )  # fmt: skip
        more = {"bizmsgmenuid": menu_id} if menu_id else {}
        return await self._push(person, {"MsgType": "text", "Content": content, **self._message_id(), **more})

    async def _other(self, person: Follower, kind: str) -> Mapping[str, object]:
        if kind not in _OTHER_MESSAGES:
            raise ValueError(f"type: {', '.join(_OTHER_MESSAGES)}")
        self._interact(person, "text")
        self._world.note(person.chat, "user", "text", f"[{kind}]")
        return await self._push(person, {"MsgType": kind, **_OTHER_MESSAGES[kind], **self._message_id()})

    async def _menu(self, person: Follower, key: str, event: str) -> Mapping[str, object]:
        """Choose a menu item; a VIEW item opens a page and opens no window."""
        if event != "VIEW":
            self._interact(person, "menu")
        self._world.note(person.chat, "user", "menu", key)
        return await self._push(person, {"MsgType": "event", "Event": event, "EventKey": key})

    async def _follow(self, person: Follower, scene: str, ticket: str) -> Mapping[str, object]:
        person.followed = True
        person.followed_at = time.time()
        person.scene = scene
        self._interact(person, "scan" if ticket else "follow")
        self._world.note(person.chat, "system", "follow", "你已关注该公众号")
        key = {"EventKey": f"qrscene_{scene}", "Ticket": ticket or "ticket"} if scene else {"EventKey": ""}
        return await self._push(person, {"MsgType": "event", "Event": "subscribe", **key})

    async def _unfollow(self, person: Follower) -> Mapping[str, object]:
        person.followed = False
        person.credit.close()
        self._world.note(person.chat, "system", "unfollow", "你已取消关注该公众号")
        return await self._push(person, {"MsgType": "event", "Event": "unsubscribe", "EventKey": ""}, quiet=True)

    async def _scan(self, person: Follower, ticket: str) -> Mapping[str, object]:
        """Scan a ticket, or the address that the picture holds. Raises NotHere."""
        short = ticket.rpartition("/q/")[2]
        code = self._state.codes.get(ticket) or next(
            (code for code in self._state.codes.values() if code.short == short), None
        )
        if code is None:
            raise NotHere("no such QR code")
        if code.until is not None and code.until <= self._world.clock.now():
            self._world.note(person.chat, "system", "system", "二维码已过期")
            return {"expired": True}
        if not person.followed:
            return await self._follow(person, code.scene, code.ticket)
        self._interact(person, "scan")
        self._world.note(person.chat, "user", "scan", f"[扫码] {code.scene}")
        event = {"Event": "SCAN", "EventKey": code.scene, "Ticket": code.ticket}
        return await self._push(person, {"MsgType": "event", **event})

    def template_sent(self, person: Follower, msgid: int, status: str) -> None:
        """Push the result of a template message to the product, a little later."""

        async def tell() -> None:
            await asyncio.sleep(_FINISHED_AFTER_SECONDS)
            event = {"MsgType": "event", "Event": "TEMPLATESENDJOBFINISH", "MsgID": msgid, "Status": status}
            await self._push(person, event, quiet=True)

        if self._state.account.callback_url:
            self._world.later(tell())

    def _interact(self, person: Follower, kind: str) -> None:
        person.credit.earn(kind, self._state.account.kf_rules)
        person.spoke_at = self._world.clock.now()
        self._world.publish("people", None)

    def _message_id(self) -> dict[str, object]:
        return {"MsgId": 2 * 10**16 + self._world.rng.randrange(10**16)}

    # Pushes.

    async def _push(
        self, person: Follower, values: Mapping[str, object], *, quiet: bool = False
    ) -> Mapping[str, object]:
        account = self._state.account
        if not account.callback_url:
            return {"paused": False, "reply": None, "deliveries": []}
        head = {
            "ToUserName": account.original_id,
            "FromUserName": person.chat.id,
            "CreateTime": int(time.time()),
        }
        whole = {**head, **values}
        sent = await self._pusher.send(
            Push(
                platform="wechat",
                chat=person.chat,
                build=lambda tamper: self._build(whole, tamper),
                read=lambda fetched: self._read(fetched, person.chat.id),
                seconds=account.timer_s,
                deliveries=account.deliveries,
                trouble="" if quiet else _TROUBLE,
            )
        )
        known = {name: values[name] for name in ("MsgId",) if name in values}
        return {**sent, **known, "CreateTime": head["CreateTime"]}

    def _build(self, values: Mapping[str, object], tamper: Tamper) -> Outgoing:
        """Build one delivery: the same message with a new timestamp, nonce and signature."""
        account, world = self._state.account, self._world
        timestamp = str(int(time.time()) - tamper.seconds_old)
        nonce = str(world.rng.randrange(10**8, 10**10))
        plain = xml_of(values)
        query = {
            "signature": sha1_signature(account.token, timestamp, nonce),
            "timestamp": timestamp,
            "nonce": nonce,
            "openid": str(values["FromUserName"]),
        }
        body = plain
        if account.mode != "plain":
            sealed = encrypt(
                plain, aes_key=account.aes_key, receiver=account.appid, filling=world.word(16).encode()
            )  # fmt: skip
            signature = sha1_signature(account.token, timestamp, nonce, sealed)
            query |= {"encrypt_type": "aes", "msg_signature": signature}
            shown = {"ToUserName": values["ToUserName"]} if account.mode == "safe" else values
            body = xml_of({**shown, "Encrypt": sealed})
        if tamper.bad_signature:
            query |= {name: query[name][::-1] for name in ("signature", "msg_signature") if name in query}
        return Outgoing(
            url=_with(account.callback_url, query),
            headers={"Content-Type": "text/xml", "User-Agent": "Mozilla/4.0", "Accept": "*/*", "Pragma": "no-cache"},
            body=body.encode(),
            plain=plain,
        )

    def _read(self, fetched: Fetched, openid: str) -> Verdict:
        """Read an answer: `success` and an empty body mean no reply, XML is a reply, all else is an error."""
        account = self._state.account
        body = fetched.body.strip()
        if body in (b"", b"success"):
            return Verdict(kind="silent")
        try:
            reply = xml_fields(body)
            if "Encrypt" in reply:
                if account.mode == "plain":
                    return Verdict(kind="bad", why="an encrypted reply in plain mode")
                opened = open_envelope(body, token=account.token, aes_key=account.aes_key, receiver=account.appid)
                return reply_of(opened.encode(), openid, account.original_id)
            if account.mode == "safe":
                return Verdict(kind="bad", why="a plain reply in safe mode")
            return reply_of(body, openid, account.original_id)
        except Unreadable as exc:
            return Verdict(kind="bad", why=str(exc))

    async def handshake(self) -> Mapping[str, object]:
        """Send a GET with echostr, which must come back unchanged (微信开放文档 · 接入指南)."""
        account, world = self._state.account, self._world
        if not account.callback_url:
            raise NotHere("callback_url is not set")
        timestamp, nonce, echo = (
            str(int(time.time())),
            str(world.rng.randrange(10**9)),
            str(world.rng.randrange(10**18)),
        )
        signature = sha1_signature(account.token, timestamp, nonce)
        query = {"signature": signature, "timestamp": timestamp, "nonce": nonce, "echostr": echo}
        outgoing = Outgoing(
            url=_with(account.callback_url, query), headers={"User-Agent": "Mozilla/4.0"}, body=b"", method="GET"
        )

        def read(fetched: Fetched) -> Verdict:
            same = fetched.body == echo.encode()
            return Verdict(kind="silent" if same else "bad", why="" if same else "echostr did not come back as it was")

        delivery = await self._pusher.exchange(outgoing, read, SECONDS, "wechat")
        return {"ok": delivery.verdict.kind == "silent", **delivery.shown()}


def reply_of(body: bytes, receiver: str, sender: str) -> Verdict:
    """Read a reply's XML (微信开放文档 · 回复用户消息). Raises Unreadable."""
    reply = xml_fields(body)
    kind, text = reply.get("MsgType", ""), reply.get("Content", "")
    if reply.get("ToUserName") != receiver or reply.get("FromUserName") != sender:
        return Verdict(kind="bad", why="ToUserName or FromUserName is somebody else")
    if kind not in _REPLY_KINDS or not reply.get("CreateTime", "").isdigit():
        return Verdict(kind="bad", why=f"MsgType {kind!r} or CreateTime does not hold")
    if kind != "text":
        return Verdict(kind="reply", text=f"[{kind}]")
    if not text or len(text.encode()) > _TEXT_BYTES:
        return Verdict(kind="bad", why=f"{len(text.encode())} bytes of Content")
    return Verdict(kind="reply", text=text)


def _with(url: str, query: Mapping[str, object]) -> str:
    return url + ("&" if "?" in url else "?") + urlencode(query)
