"""The pushes of platforms, written from their own documentation without the product's code."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.http import HttpResponse
from django.test import Client

from devtools.simulator import crypto

AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APPID = "wx1234567890abcdef"
TOKEN = "a-callback-token"
CORP = "ww1234567890abcdef"

WECHAT = {
    "WECHAT_KIND": "service",
    "WECHAT_APPID": APPID,
    "WECHAT_SECRET": "secret",
    "WECHAT_TOKEN": TOKEN,
    "WECHAT_AES_KEY": AES_KEY,
}
WECOM = {"WECOM_CORP_ID": CORP, "WECOM_TOKEN": TOKEN, "WECOM_AES_KEY": AES_KEY}

_numbers = itertools.count(23_000_000_000)


@dataclass(kw_only=True)
class Phone:
    """One person's phone at one account; every push is signed and, unless `plain`, encrypted."""

    openid: str = "oAlice0000000000000000000001"
    path: str = "/chat/wechat"
    account: str = APPID
    plain: bool = False
    client: Client = field(default_factory=Client)

    def text(self, content: str, **more: str) -> str:
        """Send a text; return the answer, empty for none."""
        return self.heard({"MsgType": "text", "Content": content, "MsgId": str(next(_numbers)), **more})

    def event(self, event: str, key: str = "", **more: str) -> str:
        """Follow, leave, scan, press a button."""
        return self.heard({"MsgType": "event", "Event": event, "EventKey": key, "Stamp": str(next(_numbers)), **more})

    def heard(self, fields: Mapping[str, str]) -> str:
        """Push and read the answer as the platform does."""
        response = self.push(fields)
        assert response.status_code == 200, response.content
        return self.read(response)

    def push(self, fields: Mapping[str, str], *, query: Mapping[str, str] | None = None) -> HttpResponse:
        """Push these elements, or with another query."""
        created = str(int(time.time()))
        stamp = fields.get("Stamp", "")
        known = {"ToUserName": "gh_us", "FromUserName": self.openid, "CreateTime": stamp or created, **fields}
        body = "<xml>" + "".join(f"<{name}>{crypto.cdata(value)}</{name}>" for name, value in known.items()) + "</xml>"
        nonce = os.urandom(4).hex()
        signed = {"timestamp": created, "nonce": nonce, "signature": crypto.sha1_signature(TOKEN, created, nonce)}
        if not self.plain:
            secret = crypto.encrypt(body, aes_key=AES_KEY, receiver=self.account, filling=os.urandom(16))
            signed |= {"encrypt_type": "aes", "msg_signature": crypto.sha1_signature(TOKEN, created, nonce, secret)}
            body = f"<xml><ToUserName><![CDATA[gh_us]]></ToUserName><Encrypt><![CDATA[{secret}]]></Encrypt></xml>"
        return self.client.post(f"{self.path}?{urlencode(query or signed)}", data=body, content_type="text/xml")

    def read(self, response: HttpResponse) -> str:
        """Return the text of an answer, empty for `success`."""
        if response.content == b"success":
            return ""
        content = response.content
        if not self.plain:
            content = crypto.open_envelope(content, token=TOKEN, aes_key=AES_KEY, receiver=self.account).encode()
        said = crypto.xml_fields(content)
        assert said["ToUserName"] == self.openid
        return said["Content"]
