"""Actions of a person are pushed to the product in every mode and retried without an answer; answers are checked."""

from __future__ import annotations

import threading
import time

import pytest
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.enterprise.crypto import WeChatCrypto as WeComCrypto
from wechatpy.replies import ArticlesReply, TextReply
from wechatpy.utils import check_signature

from devtools.simulator.client import Simulator
from tests.simulators.callee import Callee, Taken
from tests.waiting import until

pytestmark = pytest.mark.sqlite_only

TROUBLE = "该公众号提供的服务出现故障，请稍后再试"


@pytest.fixture
def alice(sim: Simulator, callee: Callee) -> str:
    """A person who follows an account whose callback is the callee, in plain mode."""
    alice = sim.user("alice")
    sim.follow(alice)
    sim.account(callback_url=callee.url, mode="plain")
    return alice


def _crypto(sim: Simulator) -> WeChatCrypto:
    account = sim.control("GET", "account")
    return WeChatCrypto(account["token"], account["aes_key"], account["appid"])


def _read(sim: Simulator, taken: Taken):  # type: ignore[no-untyped-def]
    """Read a push with wechatpy, which checks the signature."""
    query = taken.query
    check_signature(sim.control("GET", "account")["token"], query["signature"], query["timestamp"], query["nonce"])
    body = taken.body.decode()
    if "<Encrypt>" in body and "<MsgType>" not in body:
        signed = (query["msg_signature"], query["timestamp"], query["nonce"])
        body = _crypto(sim).decrypt_message(body, *signed)
    return parse_message(body)


def _echo(sim: Simulator, *, sealed: bool):  # type: ignore[no-untyped-def]
    crypto = _crypto(sim)

    def answer(taken: Taken) -> tuple[int, bytes]:
        message = _read(sim, taken)
        # wechatpy does not escape `]]>` in CDATA.
        reply = TextReply(content=f"说：{message.content}".replace("]]>", ""), message=message).render()
        return 200, (crypto.encrypt_message(reply, "nonce", "1700000000") if sealed else reply).encode()

    return answer


@pytest.mark.parametrize(
    ("mode", "sealed_reply"), [("plain", False), ("compat", False), ("compat", True), ("safe", True)]
)
def test_text_goes_out_and_its_answer_is_a_bubble(
    sim: Simulator, callee: Callee, alice: str, mode: str, sealed_reply: bool
) -> None:
    sim.account(mode=mode)
    callee.answer = _echo(sim, sealed=sealed_reply)
    pushed = sim.text(alice, "你好 <&]]> \U0001f600")
    taken = callee.taken[0]
    assert pushed.reply == "说：你好 <& \U0001f600"
    assert taken.query["from"] == "platform"
    assert taken.query["openid"] == alice
    assert taken.headers["content-type"] == "text/xml"
    assert ("encrypt_type" in taken.query) == (mode != "plain")
    assert (b"<Content>" in taken.body, b"<Encrypt>" in taken.body) == (mode != "safe", mode != "plain")
    message = _read(sim, taken)
    assert (message.content, message.source, message.id) == ("你好 <&]]> \U0001f600", alice, pushed.msgid)
    assert [entry["via"] for entry in sim.transcript(alice)][-2:] == ["text", "passive"]


@pytest.mark.parametrize("body", [b"success", b""])
def test_answer_without_a_reply_shows_nothing(sim: Simulator, callee: Callee, alice: str, body: bytes) -> None:
    callee.answer = lambda _taken: (200, body)
    assert sim.text(alice, ".").deliveries[0]["verdict"] == "silent"
    assert sim.transcript(alice)[-1]["who"] == "user"


def test_answer_that_is_no_reply_is_a_broken_service(sim: Simulator, callee: Callee, alice: str) -> None:
    def reply(content: str, to: str = alice) -> bytes:
        head = f"<ToUserName>{to}</ToUserName><FromUserName>gh_simulator0001</FromUserName><CreateTime>1</CreateTime>"
        return f"<xml>{head}<MsgType>text</MsgType><Content>{content}</Content></xml>".encode()

    broken_end = reply("<![CDATA[a]]>b]]>")
    long, foreign = reply("字" * 683), reply("x", to="o-somebody-else")
    bad = [b'{"errcode": 0}', b"ok", b"<xml>", broken_end, reply(""), long, foreign]
    for body in bad:
        callee.answer = lambda _taken, body=body: (200, body)
        pushed = sim.text(alice, "x")
        assert (pushed.deliveries[0]["verdict"], len(pushed.deliveries)) == ("bad", 1), body
        assert sim.transcript(alice)[-1]["text"] == TROUBLE
    callee.answer = lambda _taken: (200, reply("字" * 682))
    assert sim.text(alice, "x").reply == "字" * 682


def test_safe_mode_takes_no_plain_reply_and_plain_mode_no_sealed_one(
    sim: Simulator, callee: Callee, alice: str
) -> None:
    for mode, sealed in (("safe", False), ("plain", True)):
        sim.account(mode=mode)
        callee.answer = _echo(sim, sealed=sealed)
        assert sim.text(alice, "x").deliveries[0]["verdict"] == "bad"


def test_other_kinds_of_reply_are_named(sim: Simulator, callee: Callee, alice: str) -> None:
    def answer(taken: Taken) -> tuple[int, bytes]:
        reply = ArticlesReply(message=_read(sim, taken))
        reply.add_article({"title": "t", "description": "d", "image": "", "url": ""})
        return 200, reply.render().encode()

    callee.answer = answer
    assert sim.text(alice, "x").reply == "[news]"


def test_a_silent_product_is_cut_off_by_the_timer_and_pushed_again(sim: Simulator, callee: Callee, alice: str) -> None:
    """The timer runs in real time, five seconds by default; this test shortens it."""
    released = threading.Event()

    def answer(_taken: Taken) -> tuple[int, bytes]:
        if len(callee.taken) == 1:
            released.wait(5)
        return 200, b"success"

    callee.answer = answer
    assert sim.control("GET", "account")["timer_s"] == 5
    sim.account(timer_s=1.0)
    pushed = sim.text(alice, "slow")
    released.set()
    assert 1000 <= pushed.deliveries[0]["ms"] < 4000
    assert [delivery["verdict"] for delivery in pushed.deliveries] == ["failed", "silent"]
    first, second = callee.taken
    assert _read(sim, first).id == _read(sim, second).id == pushed.msgid
    assert first.query["nonce"] != second.query["nonce"]
    assert sim.transcript(alice)[-1]["who"] == "user"


def test_a_broken_product_gets_three_pushes_and_then_the_person_sees_it(
    sim: Simulator, callee: Callee, alice: str
) -> None:
    callee.answer = lambda _taken: (502, b"")
    assert [delivery["status"] for delivery in sim.text(alice, "x").deliveries] == [502] * 3
    assert sim.transcript(alice)[-1]["text"] == TROUBLE
    sim.account(callback_url="http://127.0.0.1:9/")
    assert len(sim.text(alice, "x").deliveries) == 3


def test_after_many_failures_pushes_pause_for_a_minute(sim: Simulator, callee: Callee, alice: str) -> None:
    callee.answer = lambda _taken: (500, b"")
    sim.account(failures_allowed=4)
    sim.text(alice, "x")
    assert not sim.text(alice, "x").paused
    callee.answer = lambda _taken: (200, b"success")
    assert sim.text(alice, "x").paused
    sim.clock(61)
    assert not sim.text(alice, "x").paused


def test_events_carry_what_the_platform_sends(sim: Simulator, callee: Callee) -> None:
    sim.account(callback_url=callee.url, mode="safe")
    bob = sim.user("bob")
    sim.follow(bob, scene="inv:7")
    sim.menu(bob, "status")
    sim.event(bob, "LOCATION")
    sim.act(bob, "message", type="image")
    sim.unfollow(bob)
    messages = [_read(sim, taken) for taken in callee.taken]
    assert [message.type for message in messages] == ["event", "event", "event", "image", "event"]
    follow, click, *_ = messages
    assert (follow.event, follow.scene_id, click.event, click.key) == ("subscribe_scan", "inv:7", "click", "status")
    assert "<EventKey><![CDATA[qrscene_inv:7]]></EventKey>" in sim.pushes("wechat")[0]["plain"]
    assert messages[-1].event == "unsubscribe"


def test_scan_of_a_follower_has_the_bare_scene(sim: Simulator, callee: Callee, alice: str) -> None:
    from tests.simulators.caller import Caller

    body = {"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "login:1"}}}
    ticket = Caller(sim).wechat("qrcode/create", body)["ticket"]
    sim.scan(alice, ticket)
    assert "<EventKey><![CDATA[login:1]]></EventKey>" in callee.taken[0].body.decode()
    assert _read(sim, callee.taken[0]).ticket == ticket


def test_template_message_is_followed_by_how_it_fared(sim: Simulator, callee: Callee, alice: str) -> None:
    from tests.simulators.caller import Caller
    from tests.simulators.test_wechat import GOOD, INFO_TEMPLATE

    call, body = Caller(sim), {"touser": alice, "template_id": INFO_TEMPLATE, "data": GOOD}
    msgid = call.wechat("message/template/send", body)["msgid"]
    sim.refuse_template(alice, late=True)
    call.wechat("message/template/send", body)
    until(lambda: len(callee.taken) == 2, seconds=5)
    first, second = (taken.body.decode() for taken in callee.taken)
    assert f"<MsgID>{msgid}</MsgID>" in first
    assert "<Status><![CDATA[success]]></Status>" in first
    assert "<Status><![CDATA[failed:user block]]></Status>" in second


def test_handshake_wants_the_echo_as_it_is(sim: Simulator, callee: Callee, alice: str) -> None:
    callee.answer = lambda taken: (200, taken.query["echostr"].encode())
    assert sim.handshake()["ok"]
    query = callee.taken[0].query
    check_signature(sim.account()["token"], query["signature"], query["timestamp"], query["nonce"])
    callee.answer = lambda taken: (200, b"\xef\xbb\xbf" + taken.query["echostr"].encode())
    assert not sim.handshake()["ok"]


# Faults.


def test_push_is_repeated_after_its_answer(sim: Simulator, callee: Callee, alice: str) -> None:
    sim.fault("dup_push:2")
    pushed = sim.text(alice, "x")
    assert [delivery["why"] for delivery in pushed.deliveries] == ["first", "dup", "dup"]
    assert len({_read(sim, taken).id for taken in callee.taken}) == 1
    assert len(sim.text(alice, "y").deliveries) == 1


def test_push_is_repeated_before_its_answer(sim: Simulator, callee: Callee, alice: str) -> None:
    both = threading.Barrier(2, timeout=4)
    callee.answer = lambda _taken: (both.wait(), (200, b"success"))[1]
    sim.fault("early_dup_push")
    assert [delivery["why"] for delivery in sim.text(alice, "x").deliveries] == ["first", "early"]


def test_push_is_held_until_the_next_one_went_out(sim: Simulator, callee: Callee, alice: str) -> None:
    sim.fault("reorder")
    sim.text(alice, "one", wait=False)
    until(lambda: sim.faults()[0]["used"])
    sim.text(alice, "two")
    until(lambda: len(callee.taken) == 2)
    assert [_read(sim, taken).content for taken in callee.taken] == ["two", "one"]


def test_push_is_forged_or_old(sim: Simulator, callee: Callee, alice: str) -> None:
    sim.account(mode="safe")
    sim.fault("bad_signature")
    sim.text(alice, "x")
    with pytest.raises(Exception, match="signature"):
        _read(sim, callee.taken[0])
    sim.fault("replay")
    sim.text(alice, "x")
    assert int(callee.taken[1].query["timestamp"]) < time.time() - 500
    assert _read(sim, callee.taken[1]).content == "x"


# The three other platforms.


def test_wecom_member_writes_and_is_answered(sim: Simulator, callee: Callee) -> None:
    account = sim.account("wecom", callback_url=callee.url)
    crypto = WeComCrypto(account["token"], account["aes_key"], account["corp_id"])
    bob = sim.user("bob", platform="wecom", openid="bob")

    def answer(taken: Taken) -> tuple[int, bytes]:
        query = taken.query
        if taken.method == "GET":
            signed = (query["msg_signature"], query["timestamp"], query["nonce"], query["echostr"])
            return 200, crypto.check_signature(*signed).encode()
        assert "signature" not in query
        plain = crypto.decrypt_message(taken.body.decode(), query["msg_signature"], query["timestamp"], query["nonce"])
        reply = TextReply(content="好", message=parse_message(plain)).render()
        return 200, crypto.encrypt_message(reply, "n", "1700000000").encode()

    callee.answer = answer
    assert sim.handshake("wecom")["ok"]
    pushed = sim.text(bob, "帮助")
    assert pushed.reply == "好", pushed.deliveries
    assert pushed.msgid


def test_telegram_update_carries_the_secret_and_may_be_answered_at_once(sim: Simulator, callee: Callee) -> None:
    account = sim.account("telegram", webhook_url=callee.url)
    bob = sim.user("bob", platform="telegram", openid="4242")
    callee.answer = lambda _taken: (200, b'{"method": "sendMessage", "chat_id": 4242, "text": "ok"}')
    assert sim.text(bob, "/help me").reply == "ok"
    taken = callee.taken[0]
    assert taken.headers["x-telegram-bot-api-secret-token"] == account["webhook_secret"]
    assert b'"entities": [{"type": "bot_command", "offset": 0, "length": 5}]' in taken.body
    sim.fault("bad_signature")
    sim.text(bob, "x")
    assert callee.taken[1].headers["x-telegram-bot-api-secret-token"] != account["webhook_secret"]


def test_slack_command_is_signed_and_answered_twice(sim: Simulator, callee: Callee) -> None:
    from devtools.simulator.crypto import slack_signature

    account = sim.account("slack", command_url=callee.url)
    bob = sim.user("bob", platform="slack", openid="U1")
    callee.answer = lambda _taken: (200, b'{"response_type": "ephemeral", "text": "waiting"}')
    assert sim.text(bob, "nas date").reply == "waiting"
    taken = callee.taken[0]
    timestamp = taken.headers["x-slack-request-timestamp"]
    expected = slack_signature(timestamp, taken.body, account["signing_secret"])
    assert taken.headers["x-slack-signature"] == expected
    form = dict(pair.split("=", 1) for pair in sim.pushes("slack")[0]["plain"].splitlines())
    assert (form["command"], form["text"], form["user_id"]) == ("/letserver", "nas date", "U1")
    answers = [sim.session.post(form["response_url"], json={"text": "done"}, timeout=5) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [404]
    assert answers[5].text == "used_url"
    assert sim.transcript(bob)[-1]["text"] == "done"
