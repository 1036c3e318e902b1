"""The simulator's own cryptography, against the platforms' vectors and against wechatpy in both directions."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from standardwebhooks.webhooks import Webhook
from wechatpy.crypto import WeChatCrypto
from wechatpy.enterprise.crypto import WeChatCrypto as WeComCrypto
from wechatpy.exceptions import InvalidSignatureException

from devtools.simulator import crypto

pytestmark = pytest.mark.sqlite_only

TOKEN, KEY, APPID = "simulatortoken", "c2ltdWxhdG9yIG9mIHdlY2hhdCBmb3IgbGV0c2VydmU", "wx0123456789abcdef"
FILLING = b"0123456789abcdef"


def test_handshake_signature_is_the_platforms_vector() -> None:
    expected = "899cf89e464efb63f54ddac96b0a0a235f53aa78"
    assert crypto.sha1_signature("AAAAA", "1714037059", "486452656") == expected


def test_feishu_signature_is_the_known_vector() -> None:
    assert crypto.feishu_signature("1599360473", "demo") == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="


def test_dingtalk_signature_is_the_known_vector() -> None:
    signature = quote(crypto.dingtalk_signature("1700000000000", "SECdemo"), safe="")
    assert signature == "lOvVf9TQCVugV68mGbSZCg0gzOl1SVjxWi1MyVZCUuA%3D"


def test_slack_signature_is_the_vector_of_its_page() -> None:
    """Slack API · Verifying requests from Slack."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    expected = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert crypto.slack_signature("1531420618", body, "8f742231b10e8888abcd99yyyzzz85a5") == expected


def test_standard_webhook_signature_is_the_vector_of_the_specification() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signed = crypto.standard_webhook_signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body, secret)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_standard_webhook_signature_is_what_the_library_makes() -> None:
    from datetime import UTC, datetime

    secret = "whsec_" + base64.b64encode(b"a secret of 24 bytes....").decode()
    at = datetime.fromtimestamp(1_700_000_000, UTC)
    theirs = Webhook(secret).sign("msg_1", at, '{"a": "你好"}')
    ours = crypto.standard_webhook_signature("msg_1", "1700000000", '{"a": "你好"}'.encode(), secret)
    assert ours == theirs


# All lengths around the padding, the limits of a WeChat text, and a large one.
SIZES = [*range(70), 2047, 2048, 65_536]


@pytest.mark.parametrize("library", [WeChatCrypto, WeComCrypto], ids=["official account", "corp"])
def test_wechatpy_reads_what_we_encrypt(library: type[WeChatCrypto]) -> None:
    reader = library(TOKEN, KEY, APPID)
    for text in ["字" * 700 + "😀", *("x" * size for size in SIZES)]:
        sealed = crypto.encrypt(text, aes_key=KEY, receiver=APPID, filling=FILLING)
        signature = crypto.sha1_signature(TOKEN, "1700000000", "nonce", sealed)
        envelope = {"Encrypt": sealed, "ToUserName": "gh_1"}
        assert reader.decrypt_message(envelope, signature, "1700000000", "nonce") == text


@pytest.mark.parametrize("library", [WeChatCrypto, WeComCrypto], ids=["official account", "corp"])
def test_we_read_what_wechatpy_encrypts(library: type[WeChatCrypto]) -> None:
    writer = library(TOKEN, KEY, APPID)
    for text in ["字" * 700 + "😀", *("x" * size for size in SIZES)]:
        envelope = writer.encrypt_message(text, "nonce", "1700000000").encode()
        assert crypto.open_envelope(envelope, token=TOKEN, aes_key=KEY, receiver=APPID) == text


def test_wechatpy_refuses_a_signature_turned_round() -> None:
    sealed = crypto.encrypt("x", aes_key=KEY, receiver=APPID, filling=FILLING)
    signature = crypto.sha1_signature(TOKEN, "1", "nonce", sealed)[::-1]
    with pytest.raises(InvalidSignatureException):
        WeChatCrypto(TOKEN, KEY, APPID).decrypt_message({"Encrypt": sealed}, signature, "1", "nonce")


def _envelope(sealed: str, token: str = TOKEN) -> bytes:
    signature = crypto.sha1_signature(token, "1", "n", sealed)
    parts = {"Encrypt": sealed, "MsgSignature": signature, "TimeStamp": "1", "Nonce": "n"}
    return ("<xml>" + "".join(f"<{name}>{value}</{name}>" for name, value in parts.items()) + "</xml>").encode()


def _sealed(receiver: str = APPID) -> str:
    return crypto.encrypt("x", aes_key=KEY, receiver=receiver, filling=FILLING)


@pytest.mark.parametrize(
    ("envelope", "why"),
    [
        (b"<xml><Encrypt>a</Encrypt></xml>", "missing"),
        (b"no xml", "not XML"),
        (b"<html/>", "<html>"),
        (_envelope(_sealed(), token="another"), "MsgSignature"),
        (_envelope(_sealed(receiver="wx-somebody-else")), "another receiver"),
        (_envelope("not base64!"), "base64"),
        (_envelope(base64.b64encode(b"15 bytes .......").decode()[:-4]), "base64|blocks"),
        (_envelope(base64.b64encode(b"0123456789abcdef" * 2).decode()), "padding|short|receiver"),
    ],
)
def test_reply_that_does_not_hold_is_unreadable(envelope: bytes, why: str) -> None:
    with pytest.raises(crypto.Unreadable, match=why):
        crypto.open_envelope(envelope, token=TOKEN, aes_key=KEY, receiver=APPID)


def test_any_text_survives_cdata() -> None:
    text = "a]]>b ]]]]>> <xml> & \U0001f600"
    assert crypto.xml_fields(f"<xml><Content>{crypto.cdata(text)}</Content></xml>") == {"Content": text}
