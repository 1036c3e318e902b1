"""Ten thousand callbacks that are not quite right: no fault of ours, one shape of refusal, no job."""

from __future__ import annotations

import base64
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from accounts.models import User
from accounts.services.identities import Place, bind_identity
from chat.models import InboundMessage
from jobs.models import Job
from tests.chat.pushes import AES_KEY, APPID, TOKEN, WECHAT
from tests.factories import make_agent
from tests.simulators import crypto

pytestmark = pytest.mark.django_db

_OPENID = "oAlice0000000000000000000001"
_BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><xml><Encrypt>&j;</Encrypt></xml>"
)


def _mutants(chance: random.Random) -> list[Callable[[], tuple[str, bytes]]]:
    """Each gives (query, body) of one call that must be refused."""

    def text() -> str:
        return (
            f"<xml><ToUserName>gh</ToUserName><FromUserName>{_OPENID}</FromUserName><CreateTime>1</CreateTime>"
            f"<MsgType>text</MsgType><Content>nas date</Content><MsgId>{chance.getrandbits(60)}</MsgId></xml>"
        )

    def sealed(plain: str, *, receiver: str = APPID) -> str:
        return crypto.encrypt(plain, aes_key=AES_KEY, receiver=receiver, filling=os.urandom(16))

    def signed(secret: str, *, at: float = 0.0, token: str = TOKEN) -> str:
        stamp, nonce = str(int(time.time() + at)), str(chance.getrandbits(30))
        return urlencode(
            {
                "timestamp": stamp,
                "nonce": nonce,
                "encrypt_type": "aes",
                "signature": crypto.sha1_signature(token, stamp, nonce),
                "msg_signature": crypto.sha1_signature(token, stamp, nonce, secret),
            }
        )

    def envelope(secret: str) -> bytes:
        return f"<xml><ToUserName>gh</ToUserName><Encrypt>{secret}</Encrypt></xml>".encode()

    def flipped() -> tuple[str, bytes]:
        """Rightly signed, but a bit of what is encrypted is another."""
        data = bytearray(base64.b64decode(sealed(text())))
        # Not in the first block: it is random filling, and changes nothing that is read.
        data[chance.randrange(16, len(data))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        secret = base64.b64encode(data).decode()
        return signed(secret), envelope(secret)

    def resigned() -> tuple[str, bytes]:
        secret = sealed(text())
        query = signed(secret, token=chance.choice(["", "x", TOKEN + "x"]))
        return query, envelope(secret)

    def old() -> tuple[str, bytes]:
        secret = sealed(text())
        return signed(secret, at=chance.choice([-301, 400, -(10**9), 10**9])), envelope(secret)

    def of_another() -> tuple[str, bytes]:
        secret = sealed(text(), receiver=chance.choice(["wx0", APPID + "0", ""]))
        return signed(secret), envelope(secret)

    def not_xml() -> tuple[str, bytes]:
        secret = sealed(chance.choice(["", "{}", "<xml>", _BOMB, "<a></a>", "<xml></xml", "\x00", "<xml>&a;</xml>"]))
        return signed(secret), envelope(secret)

    def bomb() -> tuple[str, bytes]:
        return signed("x"), _BOMB.encode()

    def wrong_size() -> tuple[str, bytes]:
        return signed("x"), envelope("A" * chance.choice([0, 1, 3, 66_000, 1_000_000]))

    def torn() -> tuple[str, bytes]:
        secret = sealed(text())
        body = bytearray(envelope(secret))
        at = chance.randrange(len(body))
        body[at : at + 1] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 5)))
        query = signed(secret)
        cut = chance.randrange(len(query))
        return query[:cut] + query[cut + 1 + chance.randrange(9) :], bytes(body)

    return [flipped, resigned, old, of_another, not_xml, bomb, wrong_size, torn]


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_mutated_callback_is_refused_in_one_way(count: int, alice: User, settings: Any) -> None:
    for name, value in WECHAT.items():
        setattr(settings, name, value)
    bind_identity(Place(platform="wechat", account=APPID, external_id=_OPENID), owner=alice)
    make_agent(owner=alice, name="nas")
    chance = random.Random(7)
    mutants, client = _mutants(chance), Client()
    shapes: Counter[tuple[int, bytes]] = Counter()
    for number in range(count):
        query, body = mutants[number % len(mutants)]()
        response = client.generic("POST", "/chat/wechat", body, "text/xml", QUERY_STRING=query)
        shapes[response.status_code, response.content] += 1
    # A tear may fall where it changes nothing that is signed: then the push is as good as whole.
    unhurt = sum(number for (status, _content), number in shapes.items() if status == 200)
    refused = {shape for shape in shapes if shape[0] != 200}
    assert len(refused) == 1, shapes
    assert refused.pop()[0] == 403
    assert Job.objects.count() == InboundMessage.objects.count() <= unhurt <= count // 50
