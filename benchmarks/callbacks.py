"""200 encrypted pushes a second of the official account, each a text of one character."""

from __future__ import annotations

import itertools
import os
import time
from urllib.parse import urlencode

from benchmarks.load import request, steadily
from benchmarks.product import Product
from benchmarks.table import Bench, Line, Round
from devtools.simulator import crypto

A_SECOND = 200
_PEOPLE = 20
_numbers = itertools.count(10**10)


def _pushes(product: Product, count: int) -> list[bytes]:
    account = product.sim.settings("LETSERVER_WECHAT_APPID", "LETSERVER_WECHAT_TOKEN", "LETSERVER_WECHAT_AES_KEY")
    appid, token, aes_key = account.values()
    now = str(int(time.time()))
    made = []
    for _ in range(count):
        number = next(_numbers)
        body = (
            f"<xml><ToUserName>gh</ToUserName><FromUserName>oBench{number % _PEOPLE:022d}</FromUserName>"
            f"<CreateTime>{now}</CreateTime><MsgType>text</MsgType><Content>1</Content><MsgId>{number}</MsgId></xml>"
        )
        secret = crypto.encrypt(body, aes_key=aes_key, receiver=appid, filling=os.urandom(16))
        query = {
            "timestamp": now,
            "nonce": str(number),
            "encrypt_type": "aes",
            "msg_signature": crypto.sha1_signature(token, now, str(number), secret),
        }
        sealed = f"<xml><ToUserName>gh</ToUserName><Encrypt>{secret}</Encrypt></xml>".encode()
        made.append(request(f"/chat/wechat?{urlencode(query)}", sealed, Content_Type="text/xml"))
    return made


def _measure(product: Product, seconds: float) -> Round:
    count = max(2 * _PEOPLE, int(A_SECOND * seconds))
    # The first message of a person inserts rows: do it before the measurement.
    steadily(product.web.port, _pushes(product, _PEOPLE), a_second=A_SECOND)
    pushes = _pushes(product, count)
    bare = [request("/bare", push.partition(b"\r\n\r\n")[2], Content_Type="text/xml") for push in pushes]
    ours = steadily(product.web.port, pushes, a_second=A_SECOND)
    theirs = steadily(product.web.port, bare, a_second=A_SECOND)
    return {
        "callback p50": ours.at(0.5),
        "callback p99": ours.at(0.99),
        "bare p50": theirs.at(0.5),
        "bare p99": theirs.at(0.99),
    }


BENCH = Bench(
    name="callbacks",
    lines=[
        Line(
            title=f"WeChat callback at {A_SECOND}/s, {share}",
            figure=f"callback {share}",
            yardstick=f"bare {share}",
            beside=f"a bare Django view at {A_SECOND}/s, {share}",
            unit="ms",
        )
        for share in ("p50", "p99")
    ],
    measure=_measure,
)
