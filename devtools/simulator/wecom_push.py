"""The members of one corp, and the pushes of their messages to the product.

Page: 企业微信开发者中心 · 接收消息与事件. Always encrypted; the extra query
parameters of the official account are absent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from devtools.simulator.base import NotHere, text_of
from devtools.simulator.crypto import Unreadable, encrypt, open_envelope, sha1_signature
from devtools.simulator.push import Outgoing, Push, Pusher, Tamper, Verdict
from devtools.simulator.wechat_push import SECONDS, reply_of, xml_of
from devtools.simulator.wire import Fetched
from devtools.simulator.world import Chat, World

_NAME: Final = "wecom"


@dataclass(slots=True, kw_only=True)
class Account:
    """Settings of one corp with one application."""

    corp_id: str = "wwsimulator000001"
    agent_id: int = 1000002
    secret: str = "simulator-wecom-secret-0123456789abcdef"
    token: str = "simulatortoken"
    aes_key: str = "c2ltdWxhdG9yIG9mIHdlY2hhdCBmb3IgbGV0c2VydmU"
    callback_url: str = ""
    ip_allow: list[str] = field(default_factory=list)
    accounts: int = 100
    deliveries: int = 3


class Callback:
    """The members of one application, and the callback to which their messages are pushed."""

    def __init__(self, world: World, pusher: Pusher) -> None:
        self._world = world
        self._pusher = pusher
        self.account = Account()
        self.members: dict[str, Chat] = {}

    def add_person(self, options: Mapping[str, object]) -> Chat:
        """Add a member. Raises ValueError."""
        userid = text_of(options, "openid", default="") or f"member{len(self.members) + 1}"
        name = text_of(options, "nickname", default="") or f"成员 {len(self.members) + 1}"
        chat = self._world.new_chat(chat_id=userid, platform=_NAME, name=name, kind="user")
        self.members[userid] = chat
        return chat

    async def act(self, chat: Chat, action: str, options: Mapping[str, object]) -> Mapping[str, object]:
        """Write to the application. Raises NotHere, ValueError."""
        if action == "event":
            values: dict[str, object] = {"MsgType": "event", "Event": text_of(options, "event")}
            values["EventKey"] = text_of(options, "key", default="")
        elif action == "text":
            values = {"MsgType": "text", "Content": text_of(options, "content")}
            values["MsgId"] = 7 * 10**18 + self._world.rng.randrange(10**17)
            self._world.note(chat, "user", "text", text_of(options, "content"))
        else:
            raise NotHere(f"nobody can {action} at wecom")
        account = self.account
        if not account.callback_url:
            return {"paused": False, "reply": None, "deliveries": []}
        head = {"ToUserName": account.corp_id, "FromUserName": chat.id, "CreateTime": int(time.time())}
        whole = {**head, **values, "AgentID": account.agent_id}
        sent = await self._pusher.send(
            Push(
                platform=_NAME,
                chat=chat,
                build=lambda tamper: self._build(whole, tamper),
                read=lambda fetched: self._read(fetched, chat.id),
                seconds=SECONDS,
                deliveries=account.deliveries,
            )
        )
        return {**sent, **{name: values[name] for name in ("MsgId",) if name in values}}

    def _sealed(self, text: str) -> str:
        account = self.account
        return encrypt(text, aes_key=account.aes_key, receiver=account.corp_id, filling=self._world.word(16).encode())

    def _address(self, sealed: str, tamper: Tamper, **more: str) -> str:
        """Return the signed callback address; WeCom has `msg_signature` but not `signature`."""
        timestamp, nonce = str(int(time.time()) - tamper.seconds_old), str(self._world.rng.randrange(10**9))
        signature = sha1_signature(self.account.token, timestamp, nonce, sealed)
        signature = signature[::-1] if tamper.bad_signature else signature
        url = self.account.callback_url
        query = {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce, **more}
        return url + ("&" if "?" in url else "?") + urlencode(query)

    def _build(self, values: Mapping[str, object], tamper: Tamper) -> Outgoing:
        plain = xml_of(values)
        sealed = self._sealed(plain)
        envelope = {"ToUserName": values["ToUserName"], "Encrypt": sealed, "AgentID": values["AgentID"]}
        return Outgoing(
            url=self._address(sealed, tamper),
            headers={"Content-Type": "text/xml", "User-Agent": "Mozilla/4.0"},
            body=xml_of(envelope).encode(),
            plain=plain,
        )

    def _read(self, fetched: Fetched, userid: str) -> Verdict:
        account = self.account
        if fetched.body.strip() in (b"", b"success"):
            return Verdict(kind="silent")
        try:
            opened = open_envelope(
                fetched.body, token=account.token, aes_key=account.aes_key, receiver=account.corp_id
            )  # fmt: skip
            return reply_of(opened.encode(), userid, account.corp_id)
        except Unreadable as exc:
            return Verdict(kind="bad", why=str(exc))

    async def handshake(self) -> Mapping[str, object]:
        """Send a GET with an encrypted echostr; the decrypted text must come back."""
        if not self.account.callback_url:
            raise NotHere("callback_url is not set")
        echo = str(self._world.rng.randrange(10**18))
        sealed = self._sealed(echo)
        url = self._address(sealed, Tamper(), echostr=sealed)

        def read(fetched: Fetched) -> Verdict:
            same = fetched.body == echo.encode()
            return Verdict(kind="silent" if same else "bad", why="" if same else "echostr did not come back decrypted")

        outgoing = Outgoing(url=url, headers={"User-Agent": "Mozilla/4.0"}, body=b"", plain=echo, method="GET")
        delivery = await self._pusher.exchange(outgoing, read, SECONDS, _NAME)
        return {"ok": delivery.verdict.kind == "silent", **delivery.shown()}
