"""WeCom, Feishu, DingTalk, Telegram and Slack accept, refuse and limit messages as documented."""

from __future__ import annotations

import time
from typing import Any

import pytest

from devtools.simulator import crypto
from devtools.simulator.client import Simulator
from tests.simulators.caller import Caller

pytestmark = pytest.mark.sqlite_only


@pytest.fixture
def call(sim: Simulator) -> Caller:
    """A program; the clock is stopped, so that rate limits do not depend on the machine's speed."""
    sim.stop_clock()
    return Caller(sim)


# WeCom's robots.

ROBOT = "/cgi-bin/webhook/send"


def _text(content: str, **more: object) -> dict[str, object]:
    return {"msgtype": "text", "text": {"content": content, **more}}


def test_wecom_robot_shows_text_and_mentions(sim: Simulator, call: Caller) -> None:
    mentions: dict[str, object] = {"mentioned_list": ["bob", "@all"], "mentioned_mobile_list": ["13800000000"]}
    assert call.post(ROBOT, _text("磁盘已满", **mentions), key="demo") == {"errcode": 0, "errmsg": "ok"}
    entry = sim.transcript("wecom:demo")[-1]
    assert (entry["text"], entry["mentions"]) == ("磁盘已满", ["bob", "@all", "13800000000"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (_text("字" * 682), 0),
        (_text("字" * 683), 40058),
        (_text(""), 44004),
        ({"msgtype": "markdown", "markdown": {"content": "字" * 1365}}, 0),
        ({"msgtype": "markdown", "markdown": {"content": "字" * 1366}}, 40058),
        ({"msgtype": "song", "song": {}}, 40008),
        ({"msgtype": "file", "file": {"media_id": "none"}}, 40058),
    ],
)
def test_wecom_robot_looks_at_kind_and_bytes(call: Caller, body: dict[str, Any], code: int) -> None:
    assert call.post(ROBOT, body, key="demo")["errcode"] == code


def test_wecom_robot_takes_twenty_a_minute(sim: Simulator, call: Caller) -> None:
    codes = [call.post(ROBOT, _text("x"), key="demo")["errcode"] for _ in range(21)]
    assert codes == [0] * 20 + [45009]
    sim.clock(61)
    assert call.post(ROBOT, _text("x"), key="demo")["errcode"] == 0


def test_wecom_robot_that_is_gone_answers_93000(sim: Simulator, call: Caller) -> None:
    sim.robot("wecom", "mine")
    assert call.post(ROBOT, _text("x"), key="mine")["errcode"] == 0
    sim.robot("wecom", "mine", gone=True)
    answer = call.raw("POST", ROBOT, json=_text("x"), params={"key": "mine"})
    assert (answer.status_code, answer.json()["errcode"]) == (200, 93000)


def test_wecom_file_belongs_to_the_robot_that_took_it(sim: Simulator, call: Caller) -> None:
    sim.robot("wecom", "other")
    upload = call.raw(
        "POST",
        "/cgi-bin/webhook/upload_media",
        params={"key": "demo", "type": "file"},
        files={"media": ("a.txt", b"six by")},
    ).json()
    body = {"msgtype": "file", "file": {"media_id": upload["media_id"]}}
    assert [call.post(ROBOT, body, key=key)["errcode"] for key in ("demo", "other")] == [0, 40058]


# WeCom's application.


@pytest.fixture
def corp(sim: Simulator, call: Caller) -> Any:
    """`corp(body)` sends an application message to `bob`."""
    account = sim.control("GET", "account", query={"platform": "wecom"})
    sim.user("鲍勃", platform="wecom", openid="bob")
    query = {"corpid": account["corp_id"], "corpsecret": account["secret"]}
    token = call.raw("GET", "/cgi-bin/gettoken", params=query).json()["access_token"]

    def send(**more: Any) -> Any:
        body = {"touser": "bob", "agentid": account["agent_id"], **_text("x"), **more}
        return call.post("/cgi-bin/message/send", body, access_token=token)

    return send


def test_wecom_application_message_arrives(sim: Simulator, corp: Any) -> None:
    answer = corp(touser="bob|stranger")
    assert (answer["errcode"], answer["invaliduser"]) == (0, "stranger")
    assert sim.transcript("bob")[-1]["via"] == "app"


def test_wecom_application_refusals(sim: Simulator, call: Caller, corp: Any) -> None:
    assert corp(touser="stranger")["errcode"] == 81013
    assert corp(agentid=7)["errcode"] == 40056
    assert corp(msgtype="song")["errcode"] == 40008
    assert corp(text={"content": ""})["errcode"] == 44004
    assert call.post("/cgi-bin/message/send", {}, access_token="x")["errcode"] == 40014
    assert call.post("/cgi-bin/message/send", {})["errcode"] == 41001
    sim.account("wecom", ip_allow=["203.0.113.7"])
    assert corp()["errcode"] == 60020
    sim.account("wecom", ip_allow=[], accounts=0)
    assert corp()["errcode"] == 45009
    sim.clock(7201)
    assert corp()["errcode"] == 42001
    for query, code in (({"corpid": "x"}, 40013), ({"corpid": "wwsimulator000001", "corpsecret": "x"}, 40001)):
        assert call.raw("GET", "/cgi-bin/gettoken", params=query).json()["errcode"] == code


def test_wecom_cuts_a_long_text_and_drops_the_thirty_first_silently(sim: Simulator, corp: Any) -> None:
    assert corp(text={"content": "字" * 683})["errcode"] == 0
    assert (sim.transcript("bob")[-1]["text"], sim.transcript("bob")[-1]["cut"]) == ("字" * 682, True)
    assert {corp(text={"content": str(number)})["errcode"] for number in range(30)} == {0}
    assert len(sim.transcript("bob")) == 30


def test_wecom_same_message_twice_is_one_where_asked(sim: Simulator, corp: Any) -> None:
    for _ in range(2):
        assert corp(enable_duplicate_check=1)["errcode"] == 0
    assert len(sim.transcript("bob")) == 1


# Feishu.

HOOK = "/open-apis/bot/v2/hook/"


def _lark(text: str = "x", **more: object) -> dict[str, object]:
    return {"msg_type": "text", "content": {"text": text}, **more}


def _signed(secret: str, seconds_old: int = 0) -> dict[str, object]:
    stamp = str(int(time.time()) - seconds_old)
    return {"timestamp": stamp, "sign": crypto.feishu_signature(stamp, secret)}


def test_feishu_checks_signature_age_network_and_keyword(sim: Simulator, call: Caller) -> None:
    sim.robot("feishu", "mine", secret="demo", keyword="告警")

    def code(text: str = "告警：x", **more: object) -> int:
        return int(call.post(HOOK + "mine", _lark(text, **more))["code"])

    assert code() == 19021
    assert code(**_signed("other")) == 19021
    assert code(**_signed("demo", seconds_old=3700)) == 19021
    assert code("x", **_signed("demo")) == 19024
    assert code(**_signed("demo", seconds_old=3500)) == 0
    sim.robot("feishu", "mine", ip_allow=["203.0.113.7"])
    assert code(**_signed("demo")) == 19022
    assert sim.transcript("feishu:mine")[-1]["text"] == "告警：x"


def test_feishu_refuses_invalid_messages_and_a_too_high_rate(sim: Simulator, call: Caller) -> None:
    assert call.post(HOOK + "none", _lark())["code"] == 19001
    assert call.post(HOOK + "demo", {"msg_type": "text"})["code"] == 9499
    assert call.post(HOOK + "demo", _lark("字" * 7000))["code"] == 9499
    assert call.raw("POST", HOOK + "demo", data=b"{").json()["code"] == 9499
    codes = [call.post(HOOK + "demo", _lark())["code"] for _ in range(6)]
    assert codes == [0] * 5 + [11232]
    card = {"elements": [{"tag": "div", "text": {"tag": "lark_md", "content": "**内容**"}}]}
    sim.clock(2)
    assert call.post(HOOK + "demo", {"msg_type": "interactive", "card": card})["code"] == 0
    assert sim.transcript("feishu:demo")[-1]["text"] == "**内容**"


# DingTalk.


def _ding(text: str = "x") -> dict[str, object]:
    return {"msgtype": "markdown", "markdown": {"title": "t", "text": text}}


def test_dingtalk_checks_signature_age_network_and_keyword(sim: Simulator, call: Caller) -> None:
    sim.robot("dingtalk", "mine", secret="SECdemo", keyword="告警")

    def answer(text: str = "告警：x", secret: str = "SECdemo", seconds_old: int = 0) -> Any:
        stamp = str(int((time.time() - seconds_old) * 1000))
        signed = {"timestamp": stamp, "sign": crypto.dingtalk_signature(stamp, secret)}
        return call.post("/robot/send", _ding(text), access_token="mine", **signed)

    assert answer()["errcode"] == 0
    for refused, why in (
        (answer(secret="other"), "sign not match"),
        (answer(seconds_old=3700), "invalid timestamp"),
        (answer("x"), "keywords not in content"),
    ):
        assert (refused["errcode"], refused["errmsg"].startswith(why)) == (310000, True)
    sim.robot("dingtalk", "mine", ip_allow=["203.0.113.7"])
    assert answer()["errmsg"].startswith("ip 127.0.0.1 not in whitelist")


def test_dingtalk_blocks_for_ten_minutes(sim: Simulator, call: Caller) -> None:
    codes = [call.post("/robot/send", _ding(), access_token="demo")["errcode"] for _ in range(21)]
    assert codes == [0] * 20 + [130101]
    sim.clock(300)
    assert call.post("/robot/send", _ding(), access_token="demo")["errcode"] == 130101
    sim.clock(301)
    assert call.post("/robot/send", _ding(), access_token="demo")["errcode"] == 0


def test_dingtalk_refuses_invalid_messages(call: Caller) -> None:
    assert call.post("/robot/send", _ding())["errcode"] == 400101
    assert call.post("/robot/send", _ding(), access_token="none")["errcode"] == 300001
    assert call.post("/robot/send", {"msgtype": "song"}, access_token="demo")["errcode"] == 40035


# Telegram.


@pytest.fixture
def bot(sim: Simulator, call: Caller) -> Any:
    """`bot(text=...)` writes to chat 4242."""
    token = sim.control("GET", "account", query={"platform": "telegram"})["bot_token"]
    sim.user("bob", platform="telegram", openid="4242")

    def send(method: str = "sendMessage", token: str = token, **values: Any) -> Any:
        return call.raw("POST", f"/bot{token}/{method}", json={"chat_id": 4242, "text": "x", **values})

    return send


def test_telegram_takes_one_message_a_second(sim: Simulator, bot: Any) -> None:
    assert bot().json()["result"]["chat"]["id"] == 4242
    answer = bot()
    assert (answer.status_code, answer.json()["parameters"]["retry_after"]) == (429, 1)
    assert answer.headers["Retry-After"] == "1"
    sim.clock(1.1)
    assert bot().status_code == 200


@pytest.mark.parametrize(
    ("values", "status", "description"),
    [
        ({"chat_id": 7}, 400, "chat not found"),
        ({"text": " "}, 400, "message text is empty"),
        ({"text": "x" * 4097}, 400, "message is too long"),
        ({"text": "字" * 4096}, 200, ""),
        ({"text": "1. a", "parse_mode": "MarkdownV2"}, 400, "can't parse entities"),
        ({"text": "1\\. `a.b`", "parse_mode": "MarkdownV2"}, 200, ""),
        ({"text": "a_b", "parse_mode": "Markdown"}, 400, "can't parse entities"),
        ({"text": "<b>a", "parse_mode": "HTML"}, 400, "can't parse entities"),
        ({"text": "<b>a</b>", "parse_mode": "HTML"}, 200, ""),
        ({"token": "1:wrong"}, 401, "Unauthorized"),
        ({"method": "flyAway"}, 404, "Not Found"),
        ({"method": "getMe"}, 200, ""),
    ],
)
def test_telegram_checks_the_parameters(bot: Any, values: dict[str, Any], status: int, description: str) -> None:
    answer = bot(**values)
    assert answer.status_code == status
    assert description in answer.json().get("description", "")


def test_telegram_person_who_blocked_the_bot_gets_nothing(sim: Simulator, bot: Any) -> None:
    sim.unfollow("4242")
    assert bot().status_code == 403
    sim.follow("4242")
    assert bot().status_code == 200


# Slack.

SERVICES = "/services/T00000001/B00000001/demodemodemodemodemodemo"


def test_slack_webhook_says_ok_and_slows_down(sim: Simulator, call: Caller) -> None:
    answers = [call.raw("POST", SERVICES, json={"text": "x"}) for _ in range(2)]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "ok"), (429, "rate_limited")]
    assert answers[1].headers["Retry-After"] == "1"
    sim.clock(1.1)
    assert call.raw("POST", SERVICES, json={"attachments": [{"text": "y"}]}).text == "ok"


def test_slack_webhook_refusals(call: Caller) -> None:
    for path, data, status, word in (
        ("/services/T/B/none", b"{}", 404, "no_service"),
        (SERVICES, b"{", 400, "invalid_payload"),
        (SERVICES, b"{}", 400, "no_text"),
    ):
        answer = call.raw("POST", path, data=data)
        assert (answer.status_code, answer.text) == (status, word)


def test_slack_bot_writes_to_a_member(sim: Simulator, call: Caller) -> None:
    sim.user("bob", platform="slack", openid="U1")
    token = sim.control("GET", "account", query={"platform": "slack"})["bot_token"]

    def post(token: str = token, **values: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = {"channel": "U1", "text": "x", **values}
        return call.raw("POST", "/api/chat.postMessage", json=body, headers=headers)

    assert post().json()["ok"]
    limited = post()
    assert (limited.status_code, limited.json()["error"]) == (429, "ratelimited")
    sim.clock(2)
    wrong = [post(token=""), post(token="x"), post(channel="U9"), post(text=""), post(text="x" * 40_001)]
    assert [answer.json()["error"] for answer in wrong] == [
        "not_authed", "invalid_auth", "channel_not_found", "no_text", "msg_too_long",
    ]  # fmt: skip
