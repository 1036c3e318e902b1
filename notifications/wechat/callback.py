"""Read and answer the callbacks of WeChat and WeCom.

The signature is compared first, in constant time; then age, size and shape are checked; only then is anything
decrypted or parsed. Every failure raises the same BadCallback, so that a forger learns nothing from the answer (no
padding oracle). There are three modes: plain, compatible (plain and encrypted side by side), safe (encrypted). Only an
encrypted message may run commands (`Push.sealed`): the signature of a plain one does not cover its text, and the
plain half of a compatible one is ignored.

https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Access_Overview.html,
https://developer.work.weixin.qq.com/document/path/90968 (encryption).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers.expat import ExpatError

import xmltodict
from django.conf import settings
from wechatpy.crypto import PrpCrypto
from wechatpy.crypto.base import WeChatCipher

from kernel.clock import approximate_now
from kernel.text import cut

BODY_BYTES = 64 * 1024
# The largest text has 2048 of them, in about sixty elements. More would be deep nesting, which is slow to parse.
_BRACKETS = 3000
REPLY_BYTES = 2048
_BLOCK_BYTES = 32
# Characters that XML 1.0 does not allow.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ROOT_FIRST = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^<>]*\?>\s*)?<xml[\s>]")
_ENCRYPT = re.compile(rb"<Encrypt>(?:<!\[CDATA\[)?([A-Za-z0-9+/=]{1,60000})(?:\]\]>)?</Encrypt>")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class BadCallback(Exception):
    """The request is not from the platform, too old, or malformed. The error does not say which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One message or event. `fields` holds the texts of its elements; nested ones are left out."""

    fields: Mapping[str, str]
    sealed: bool
    """Set if it came encrypted, so that only the platform can have written it."""

    @property
    def kind(self) -> str:
        """Return text, image, voice, …, or event."""
        return self.fields.get("MsgType", "").lower()

    @property
    def event(self) -> str:
        """Return subscribe, unsubscribe, scan, click, templatesendjobfinish, …; empty for a message."""
        return self.fields.get("Event", "").lower() if self.kind == "event" else ""

    @property
    def sender(self) -> str:
        """Return the openid, or WeCom's user id."""
        return self.fields.get("FromUserName", "")

    @property
    def receiver(self) -> str:
        """Return the account's own name."""
        return self.fields.get("ToUserName", "")

    @property
    def text(self) -> str:
        """Return what a person wrote."""
        return self.fields.get("Content", "")

    @property
    def event_key(self) -> str:
        """Return the key of a menu button, or the scene of a QR code without the prefix of a first follow."""
        return self.fields.get("EventKey", "").removeprefix("qrscene_")

    @property
    def dedupe_key(self) -> str:
        """Return what is the same for every delivery of the same push, at most 64 characters."""
        message_id = self.fields.get("MsgId", "")
        if message_id and self.kind != "event":
            parts = ["message", self.sender, message_id]
        else:
            names = ("CreateTime", "Event", "EventKey", "MsgID", "Ticket")
            parts = ["event", self.sender, *(self.fields.get(name, "") for name in names)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class _Crypto(PrpCrypto):  # type: ignore[misc]  # the library has no types
    """wechatpy's cipher with an unpredictable first block, because its initialization vector is part of the key."""

    def get_random_string(self) -> str:
        return secrets.token_hex(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One account's side of the conversation: its token, its key, its id (AppID; CorpID for WeCom)."""

    token: str = field(repr=False)
    aes_key: str = field(repr=False)
    account: str

    def greet(self, query: Mapping[str, str]) -> str:
        """Return the answer that confirms our address to the platform. Raises BadCallback."""
        echo = query.get("echostr", "")
        if "msg_signature" in query:
            self._check(query, query["msg_signature"], echo)
            return self._open(echo)
        self._check(query, query.get("signature", ""))
        return echo

    def read(self, query: Mapping[str, str], body: bytes) -> Push:
        """Return what was pushed. Raises BadCallback."""
        if "msg_signature" not in query and query.get("encrypt_type", "raw") != "aes":
            self._check(query, query.get("signature", ""))
            return Push(fields=_fields(body), sealed=False)
        # The signature covers this element, so find it without the parser, which a forged body could keep busy.
        # In the compatible mode it comes after the text that a person wrote.
        found = _ENCRYPT.findall(body) if len(body) <= BODY_BYTES else []
        encrypted = found[-1].decode() if found else ""
        self._check(query, query.get("msg_signature", ""), encrypted)
        return Push(fields=_fields(self._open(encrypted).encode()), sealed=True)

    def reply(self, push: Push, text: str) -> str:
        """Return the answer that shows `text`, encrypted if the push was; `success` (nothing is shown) for no text."""
        content = cut(_NOT_XML.sub("", text), REPLY_BYTES, "bytes")
        if not content.strip():
            return "success"
        answer = (
            f"<xml><ToUserName>{_cdata(push.sender)}</ToUserName><FromUserName>{_cdata(push.receiver)}</FromUserName>"
            f"<CreateTime>{int(approximate_now().timestamp())}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
            f"<Content>{_cdata(content)}</Content></xml>"
        )
        return self._closed(answer) if push.sealed else answer

    def _check(self, query: Mapping[str, str], given: str, *signed: str) -> None:
        """Raise BadCallback unless `given` signs the query's time and nonce and `signed`, and the time is recent."""
        timestamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        expected = self._sign(timestamp, nonce, *signed)
        if not self.token or not hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
            raise BadCallback
        if (
            not re.fullmatch(r"[0-9]{1,12}", timestamp)
            or abs(approximate_now().timestamp() - int(timestamp)) > settings.CALLBACK_AGE_SECONDS
        ):
            raise BadCallback

    def _sign(self, *parts: str) -> str:
        words = sorted(part.encode(errors="replace") for part in (self.token, *parts))
        return hashlib.sha1(b"".join(words), usedforsecurity=False).hexdigest()

    def _open(self, encrypted: str) -> str:
        """Decrypt 16 random bytes, the length, the text, the account's id, padding up to a block; all must be right."""
        try:
            data = base64.b64decode(encrypted, validate=True)
            plain: bytes = WeChatCipher(self._key).decrypt(data)
            padding = plain[-1]
            content, end = plain[16:-padding], plain[-padding:]
            length = int.from_bytes(content[:4], "big")
            text, account = content[4 : 4 + length], content[4 + length :]
            is_intact = 1 <= padding <= _BLOCK_BYTES and end == bytes([padding]) * padding and len(text) == length
            if is_intact and hmac.compare_digest(account, self.account.encode()):
                return text.decode()
        except (ValueError, IndexError):
            raise BadCallback from None
        raise BadCallback

    def _closed(self, answer: str) -> str:
        nonce, timestamp = secrets.token_hex(8), str(int(approximate_now().timestamp()))
        encrypted = _Crypto(self._key).encrypt(answer, self.account).decode()
        return (
            f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt>"
            f"<MsgSignature><![CDATA[{self._sign(timestamp, nonce, encrypted)}]]></MsgSignature>"
            f"<TimeStamp>{timestamp}</TimeStamp><Nonce><![CDATA[{nonce}]]></Nonce></xml>"
        )

    @property
    def _key(self) -> bytes:
        if not self.aes_key:
            raise BadCallback  # encrypted, but no key is configured
        return base64.b64decode(self.aes_key + "=")


def wechat_callback() -> Callback | None:
    """Return the official account's callback; None without an account."""
    if not settings.WECHAT_KIND:
        return None
    return Callback(token=settings.WECHAT_TOKEN, aes_key=settings.WECHAT_AES_KEY, account=settings.WECHAT_APPID)


def wecom_callback() -> Callback | None:
    """Return the WeCom app's callback, which is always encrypted; None without an app."""
    if not (settings.WECOM_CORP_ID and settings.WECOM_TOKEN and settings.WECOM_AES_KEY):
        return None
    return Callback(token=settings.WECOM_TOKEN, aes_key=settings.WECOM_AES_KEY, account=settings.WECOM_CORP_ID)


def _fields(body: bytes) -> dict[str, str]:
    """Return the elements of `<xml>` that hold text. Raises BadCallback.

    Only the XML declaration may precede the root: without a DOCTYPE there are no entities, which could exhaust memory
    or read files.
    """
    if len(body) > BODY_BYTES or body.count(b"<") > _BRACKETS or not _ROOT_FIRST.match(body):
        raise BadCallback
    try:
        document = xmltodict.parse(body.decode(), disable_entities=True)
    except (ValueError, ExpatError, RecursionError):
        raise BadCallback from None
    root = document.get("xml")
    if not isinstance(root, dict):
        raise BadCallback
    # A repeated element is a list and a nested one a dictionary; we read neither.
    return {
        name: value or ""
        for name, value in root.items()
        if _NAME.fullmatch(name) and (value is None or isinstance(value, str))
    }


def _cdata(text: str) -> str:
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"
