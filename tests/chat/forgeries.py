"""Calls of `/chat/wechat` that are wrong in one thing each, made from one that would run a job.

Forgers do not know the token. A right signature over broken content stands for damaged bytes and for a leaked token:
then only the encryption keeps attackers out.
"""

from __future__ import annotations

import base64
import gzip
import random
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from devtools.simulator import crypto
from tests.chat.pushes import AES_KEY, APPID, TOKEN

OPENID = "oAlice0000000000000000000001"
_LONGEST_BODY = 64 * 1024
_BLOCK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    query: str
    body: bytes = b""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Forger:
    """Makes calls by chance; the same seed makes the same choices."""

    chance: random.Random

    def plain(self, **more: str) -> str:
        """The text of a person, as the platform would send it."""
        fields = {
            "ToUserName": "gh_us",
            "FromUserName": OPENID,
            "CreateTime": "1700000000",
            "MsgType": "text",
            "Content": "nas date",
            "MsgId": str(self.chance.getrandbits(62)),
        }
        return "<xml>" + "".join(f"<{name}>{value}</{name}>" for name, value in (fields | more).items()) + "</xml>"

    def sealed(self, text: str | None = None, *, receiver: str = APPID, aes_key: str = AES_KEY) -> str:
        """Encrypt it."""
        text = self.plain() if text is None else text
        return crypto.encrypt(text, aes_key=aes_key, receiver=receiver, filling=self.chance.randbytes(16))

    def query(self, secret: str, *, at: str = "", token: str = TOKEN) -> dict[str, str]:
        """Sign it."""
        stamp, nonce = at or str(int(time.time())), str(self.chance.getrandbits(32))
        return {
            "timestamp": stamp,
            "nonce": nonce,
            "openid": OPENID,
            "encrypt_type": "aes",
            "signature": crypto.sha1_signature(token, stamp, nonce),
            "msg_signature": crypto.sha1_signature(token, stamp, nonce, secret),
        }

    def call(self, secret: str | None = None, *, body: bytes | None = None, **query: str) -> Call:
        """Put a rightly signed call together, then change some of its query; nothing given, it is whole."""
        secret = self.sealed() if secret is None else secret
        body = envelope(secret) if body is None else body
        return Call(query=urlencode(self.query(secret) | query), body=body)


def envelope(secret: str) -> bytes:
    """The body of a push."""
    return f"<xml><ToUserName>gh_us</ToUserName><Encrypt>{secret}</Encrypt></xml>".encode()


def _bad_signature(forger: Forger) -> Call:
    right = forger.query(secret := forger.sealed())
    sign, chance = right["msg_signature"], forger.chance
    at = chance.randrange(40)
    wrong = chance.choice(
        [
            f"{sign[:at]}{int(sign[at], 16) ^ chance.randrange(1, 16):x}{sign[at + 1 :]}",
            sign[:at],
            sign.upper() if sign.upper() != sign else "",
            right["signature"],
            "0" * 40,
            "ß" * 40,
            "\0",
            "f" * 20_000,
        ]
    )
    return Call(query=urlencode(right | {"msg_signature": wrong}), body=envelope(secret))


def _no_signature(forger: Forger) -> Call:
    right = forger.query(secret := forger.sealed())
    for name in forger.chance.choice([("msg_signature",), ("timestamp",), ("nonce",), tuple(right)]):
        del right[name]
    return Call(query=urlencode(right), body=envelope(secret))


def _other_token(forger: Forger) -> Call:
    secret = forger.sealed()
    token = forger.chance.choice(["", "x", TOKEN + "x", TOKEN[:-1], TOKEN.upper()])
    return Call(query=urlencode(forger.query(secret, token=token)), body=envelope(secret))


def _replay(forger: Forger) -> Call:
    """Captured, or made, at another time, and rightly signed."""
    secret = forger.sealed()
    at = int(time.time()) + forger.chance.choice([-400, -86_400, -(10**9), 400, 86_400, 10**9])
    return Call(query=urlencode(forger.query(secret, at=str(at))), body=envelope(secret))


def _huge_number(forger: Forger) -> Call:
    secret, now = forger.sealed(), int(time.time())
    at = forger.chance.choice(
        [
            "9" * 4_000,
            "9" * 13,
            f"-{now}",
            f"{now}.5",
            f"{now}e0",
            f"+{now}",
            f" {now}",
            "1_700_000_000",
            "NaN",
            "٣" * 10,
        ]
    )
    return Call(query=urlencode(forger.query(secret, at=at)), body=envelope(secret))


def _other_nonce(forger: Forger) -> Call:
    return forger.call(nonce=str(forger.chance.getrandbits(33)))


def _flipped(forger: Forger) -> bytes:
    data = bytearray(base64.b64decode(forger.sealed()))
    # Not in the first block: it is random filling, and what follows it is hurt in ways that may not matter.
    data[forger.chance.randrange(_BLOCK, len(data))] ^= 1 << forger.chance.randrange(8)
    return bytes(data)


def _bit_flip(forger: Forger) -> Call:
    """Signed before the bit changed."""
    query = forger.query(forger.sealed())
    return Call(query=urlencode(query), body=envelope(base64.b64encode(_flipped(forger)).decode()))


def _signed_bit_flip(forger: Forger) -> Call:
    """Signed afterwards: what is decrypted must not hold."""
    return forger.call(base64.b64encode(_flipped(forger)).decode())


def _cut_cipher(forger: Forger) -> Call:
    data = base64.b64decode(forger.sealed())
    return forger.call(base64.b64encode(data[: forger.chance.randrange(len(data))]).decode())


def _moved_blocks(forger: Forger) -> Call:
    data = base64.b64decode(forger.sealed())
    blocks = [data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK)]
    one, two = forger.chance.sample(range(len(blocks)), 2)
    blocks[one], blocks[two] = blocks[two], blocks[one]
    return forger.call(base64.b64encode(b"".join(blocks)).decode())


def _more_blocks(forger: Forger) -> Call:
    data = base64.b64decode(forger.sealed()) + forger.chance.randbytes(forger.chance.randrange(1, 65))
    return forger.call(base64.b64encode(data).decode())


def _other_appid(forger: Forger) -> Call:
    return forger.call(
        forger.sealed(receiver=forger.chance.choice(["", "wx0", APPID[:-1], APPID + "0", APPID.upper()]))
    )


def _other_key(forger: Forger) -> Call:
    key = base64.b64encode(forger.chance.randbytes(32)).decode()[:43]
    return forger.call(forger.sealed(aes_key=key))


def _wrapped(forger: Forger, content: bytes) -> Call:
    """Encrypt a plain text of one's own making, whole blocks, and sign it."""
    key = base64.b64decode(AES_KEY + "=")
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:_BLOCK])).encryptor()
    return forger.call(base64.b64encode(encryptor.update(content) + encryptor.finalize()).decode())


def _bad_padding(forger: Forger) -> Call:
    text = forger.plain().encode()
    content = forger.chance.randbytes(16) + struct.pack(">I", len(text)) + text + APPID.encode()
    wanted = 32 - len(content) % 32
    wrong = forger.chance.choice(
        [
            bytes(wanted),
            bytes([wanted + 32]) * wanted,
            bytes([255]) * wanted,
            bytes([(wanted + 1) % 32 or 7]) * wanted,
            bytes([wanted ^ 1]) + bytes([wanted]) * (wanted - 1) if wanted > 1 else b"\x02",
        ]
    )
    return _wrapped(forger, content + wrong)


def _lying_length(forger: Forger) -> Call:
    text = forger.plain().encode()
    wrong = forger.chance.choice([0, 1, len(text) - 1, len(text) + 1, len(text) + len(APPID), 2**31, 2**32 - 1])
    content = forger.chance.randbytes(16) + struct.pack(">I", wrong) + text + APPID.encode()
    wanted = 32 - len(content) % 32
    return _wrapped(forger, content + bytes([wanted]) * wanted)


def _bad_base64(forger: Forger) -> Call:
    secret = forger.sealed()
    at = forger.chance.randrange(1, len(secret))
    wrong = forger.chance.choice(["!", " ", "=", "中", "-_", "\n"])
    return forger.call(secret[:at] + wrong + secret[at:])


def _cut_body(forger: Forger) -> Call:
    whole = forger.call()
    # Behind it nothing is of interest: the platform's word is whole.
    return replace(whole, body=whole.body[: forger.chance.randrange(whole.body.index(b"</Encrypt>") + 10)])


def _garbage(forger: Forger) -> Call:
    chance = forger.chance
    body = chance.choice(
        [b"", b"{}", b"<xml>", b"null", b"<a></a>", b"<xml/>", chance.randbytes(chance.randrange(1, 4_000))]
    )
    return forger.call(body=body)


def _wrong_size(forger: Forger) -> Call:
    length = forger.chance.choice([_LONGEST_BODY, _LONGEST_BODY + 1, 3 * _LONGEST_BODY, 1_000_000])
    return forger.call("A" * length)


def _bomb(forger: Forger) -> str:
    """A document whose entities would grow, or fetch something."""
    chance = forger.chance
    deep, wide = chance.randrange(2, 12), chance.randrange(2, 20)
    laughs = '<!ENTITY e0 "ha">' + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * wide}">' for n in range(1, deep + 1))
    subset, used = chance.choice(
        [
            (laughs, f"&e{deep};"),
            (f'<!ENTITY q "{"A" * 20_000}">', "&q;" * 500),
            ('<!ENTITY f SYSTEM "file:///etc/passwd">', "&f;"),
            ('<!ENTITY f SYSTEM "http://127.0.0.1:1/">', "&f;"),
            ('<!ENTITY % p SYSTEM "http://127.0.0.1:1/x.dtd"> %p;', ""),
            ('<!ENTITY a "&b;"><!ENTITY b "&a;">', "&a;"),
            ("<!ELEMENT xml ANY>", ""),
        ]
    )
    head = chance.choice(["", '<?xml version="1.0"?>', '<?xml version="1.0" standalone="no"?>', "<!-- -->", "\n"])
    kind = chance.choice([f"[{subset}]", f"[{subset}]", 'SYSTEM "http://127.0.0.1:1/x.dtd"'])
    return f"{head}<!DOCTYPE xml {kind}><xml><Encrypt>{used}</Encrypt><Content>{used}</Content></xml>"


def _entity_bomb(forger: Forger) -> Call:
    return forger.call(body=_bomb(forger).encode(forger.chance.choice(["utf-8", "utf-8", "utf-16", "utf-8-sig"])))


def _sealed_bomb(forger: Forger) -> Call:
    return forger.call(forger.sealed(_bomb(forger)))


def _nested(forger: Forger) -> Call:
    """Signed for an empty text: it is not there among what nests."""
    deep = forger.chance.choice([2, 100, 1_000, 9_000])
    inside = "<a>" * deep + forger.sealed() + "</a>" * deep
    body = forger.chance.choice([f"<xml>{inside}</xml>", f"<xml><Encrypt>{inside}</Encrypt></xml>", "<xml>" * deep])
    return forger.call("", body=body.encode())


def _twice(forger: Forger) -> Call:
    """The platform's word, and another behind it."""
    secret, other = forger.sealed(), forger.sealed(forger.plain(Content="nas reboot"))
    return forger.call(secret, body=envelope(secret).replace(b"</xml>", f"<Encrypt>{other}</Encrypt></xml>".encode()))


def _control_character(forger: Forger) -> Call:
    bad = forger.chance.choice(["\0", "\x01", "\x0b", "\x1f", "&#0;", "&#x1F;", "&#xD800;", "&undefined;"])
    return forger.call(forger.sealed(forger.plain(Content=f"nas{bad} date")))


def _other_charset(forger: Forger) -> Call:
    secret = forger.sealed()
    name = forger.chance.choice(["utf-16", "utf-16-le", "utf-32", "cp037"])
    return forger.call(secret, body=f'<?xml version="1.0" encoding="{name}"?>{envelope(secret).decode()}'.encode(name))


def _gzip(forger: Forger) -> Call:
    whole = forger.call()
    return replace(whole, body=gzip.compress(whole.body), headers={"Content-Encoding": "gzip"})


def _compatible(forger: Forger) -> Call:
    """The clear half is signed by the plain signature; the encrypted half is not theirs."""
    secret = forger.sealed(aes_key=base64.b64encode(forger.chance.randbytes(32)).decode()[:43])
    body = forger.plain().replace("</xml>", f"<Encrypt>{secret}</Encrypt></xml>").encode()
    return forger.call(secret, body=body)


def _many_fields(forger: Forger) -> Call:
    whole = forger.call()
    return replace(whole, query="&".join(f"a{n}=1" for n in range(1_500)) + "&" + whole.query)


def _bad_greeting(forger: Forger) -> Call:
    right = forger.query("") | {"echostr": "<script>alert(1)</script>"}
    wrong = forger.chance.choice(
        [{"signature": "0" * 40}, {"echostr": forger.sealed()}, {"timestamp": "1"}, {"nonce": "x"}]
    )
    if forger.chance.random() < 0.5 and "signature" not in wrong:
        return Call(method="GET", query=urlencode(right | wrong))
    del right["msg_signature"]
    return Call(method="GET", query=urlencode(right | {"signature": "0" * 40}))


def _clear(forger: Forger, body: bytes) -> Call:
    """As a leaked plain signature would have it: it does not cover the words, so any sender could change them."""
    query = forger.query("")
    del query["msg_signature"], query["encrypt_type"]
    return Call(query=urlencode(query), body=body)


def _in_the_clear(forger: Forger) -> Call:
    return _clear(forger, forger.plain().encode())


def _clear_bomb(forger: Forger) -> Call:
    return _clear(forger, _bomb(forger).encode())


def _clear_garbage(forger: Forger) -> Call:
    chance = forger.chance
    deep = chance.choice([100, 9_000])
    whole = forger.plain().encode()
    wrong = chance.choice(
        [
            whole[: chance.randrange(len(whole))],
            whole.replace(b"nas", b"nas\0"),
            whole.replace(b"nas", b"\xff\xfe"),
            b"<xml>" + b"<a>" * deep,
            b"<xml>" * deep,
            b"<xml " + b"a='1' " * deep + b">",
            b"<xml>" + b"A" * 70_000 + b"</xml>",
            chance.randbytes(200),
            b"",
        ]
    )
    return _clear(forger, wrong)


def _wrong_method(forger: Forger) -> Call:
    method = forger.chance.choice(["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
    return replace(forger.call(), method=method)


REFUSED: Mapping[str, Callable[[Forger], Call]] = {
    maker.__name__[1:].replace("_", " "): maker
    for maker in (
        _bad_signature,
        _no_signature,
        _other_token,
        _replay,
        _huge_number,
        _other_nonce,
        _bit_flip,
        _signed_bit_flip,
        _cut_cipher,
        _moved_blocks,
        _more_blocks,
        _other_appid,
        _other_key,
        _bad_padding,
        _lying_length,
        _bad_base64,
        _cut_body,
        _garbage,
        _wrong_size,
        _entity_bomb,
        _sealed_bomb,
        _nested,
        _twice,
        _control_character,
        _other_charset,
        _gzip,
        _compatible,
        _many_fields,
        _bad_greeting,
        _clear_bomb,
        _clear_garbage,
    )
}
"""Calls that are refused, by the fault in them."""

IGNORED: Mapping[str, Callable[[Forger], Call]] = {"in the clear": _in_the_clear}
"""Calls that are taken and not listened to."""

NO_METHOD: Mapping[str, Callable[[Forger], Call]] = {"wrong method": _wrong_method}
"""Calls with a method that the address does not have."""
