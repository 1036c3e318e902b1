"""Signatures and encryption of the platforms, from their pages and independent of the product's and of wechatpy's.

Tests check them against the platforms' own vectors and against wechatpy in both directions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from xml.etree import ElementTree

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK_BYTES = 32
_RANDOM_BYTES = 16
_AES_BLOCK_BYTES = 16


class Unreadable(Exception):
    """A signature or a ciphertext is invalid; the text says why."""


def sha1_signature(*parts: str) -> str:
    """WeChat's signature: SHA-1 in hex of the sorted parts in a row (微信开放文档 · 接入指南)."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def _key(aes_key: str) -> bytes:
    try:
        key = base64.b64decode(aes_key + "=", validate=True)
    except binascii.Error as exc:
        raise Unreadable("EncodingAESKey is not base64") from exc
    if len(key) != _BLOCK_BYTES:
        raise Unreadable("EncodingAESKey is not 43 characters")
    return key


def _cipher(aes_key: str) -> Cipher[modes.CBC]:
    key = _key(aes_key)
    return Cipher(algorithms.AES(key), modes.CBC(key[:_AES_BLOCK_BYTES]))


def encrypt(text: str, *, aes_key: str, receiver: str, filling: bytes) -> str:
    """AES-256-CBC of 16 random bytes, length, text and receiver, padded to 32 (微信开放文档 · 消息加解密说明).

    `filling` is the 16 random bytes; `receiver` the appid, of WeCom the corpid. Returns base64.
    """
    data = text.encode()
    plain = filling + struct.pack(">I", len(data)) + data + receiver.encode()
    padding = _BLOCK_BYTES - len(plain) % _BLOCK_BYTES
    encryptor = _cipher(aes_key).encryptor()
    return base64.b64encode(encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()).decode()


def decrypt(secret_text: str, *, aes_key: str, receiver: str) -> str:
    """Return the text. Raises Unreadable: not base64, wrong padding or length, another receiver."""
    try:
        data = base64.b64decode(secret_text, validate=True)
    except binascii.Error as exc:
        raise Unreadable("Encrypt is not base64") from exc
    if not data or len(data) % _AES_BLOCK_BYTES:
        raise Unreadable("Encrypt is not a whole number of blocks")
    decryptor = _cipher(aes_key).decryptor()
    plain = decryptor.update(data) + decryptor.finalize()
    padding = plain[-1]
    if not 1 <= padding <= _BLOCK_BYTES or plain[-padding:] != bytes([padding]) * padding:
        raise Unreadable("padding does not hold")
    plain = plain[_RANDOM_BYTES:-padding]
    if len(plain) < 4:
        raise Unreadable("too short")
    (length,) = struct.unpack(">I", plain[:4])
    text, end = plain[4 : 4 + length], plain[4 + length :]
    if len(text) != length or end.decode("utf-8", "replace") != receiver:
        raise Unreadable("for another receiver")
    try:
        return text.decode()
    except UnicodeDecodeError as exc:
        raise Unreadable("the text is not UTF-8") from exc


def cdata(text: str) -> str:
    """A CDATA section that holds any text, also `]]>`."""
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def xml_fields(body: str | bytes) -> dict[str, str]:
    """Names and texts of the elements below `<xml>`. Raises Unreadable."""
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError) as exc:
        raise Unreadable("not XML") from exc
    if root.tag != "xml":
        raise Unreadable(f"<{root.tag}> in place of <xml>")
    return {child.tag: child.text or "" for child in root}


def open_envelope(body: bytes, *, token: str, aes_key: str, receiver: str) -> str:
    """Verify and decrypt an encrypted reply. Raises Unreadable."""
    envelope = xml_fields(body)
    missing = {"Encrypt", "MsgSignature", "TimeStamp", "Nonce"} - set(envelope)
    if missing:
        raise Unreadable(f"{', '.join(sorted(missing))} missing")
    right = sha1_signature(token, envelope["TimeStamp"], envelope["Nonce"], envelope["Encrypt"])
    if right != envelope["MsgSignature"]:
        raise Unreadable("MsgSignature does not hold")
    return decrypt(envelope["Encrypt"], aes_key=aes_key, receiver=receiver)


def feishu_signature(timestamp: str, secret: str) -> str:
    """The key is timestamp and secret, the message is empty (飞书开放平台 · 自定义机器人使用指南)."""
    return base64.b64encode(hmac.digest(f"{timestamp}\n{secret}".encode(), b"", "sha256")).decode()


def dingtalk_signature(timestamp: str, secret: str) -> str:
    """Base64, not yet escaped for an address (钉钉开放平台 · 自定义机器人安全设置)."""
    return base64.b64encode(hmac.digest(secret.encode(), f"{timestamp}\n{secret}".encode(), "sha256")).decode()


def slack_signature(timestamp: str, body: bytes, secret: str) -> str:
    """`v0=` and hex (Slack API · Verifying requests from Slack)."""
    return "v0=" + hmac.digest(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, "sha256").hex()


def standard_webhook_signature(message_id: str, timestamp: str, body: bytes, secret: str) -> str:
    """`v1,` and base64 (Standard Webhooks · Signature scheme). The secret is `whsec_` and base64."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as exc:
        raise Unreadable("the secret is not base64") from exc
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
