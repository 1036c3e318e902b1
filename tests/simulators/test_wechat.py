"""The official account answers a program as the platform does: tokens, sending, menu, QR codes, people, quotas."""

from __future__ import annotations

import re
from typing import Any

import pytest

from devtools.simulator.client import Simulator
from devtools.simulator.templates import INFO_TEMPLATE, PLAIN_TEMPLATE, first_fault, seeded
from tests.simulators.caller import Caller

pytestmark = pytest.mark.sqlite_only


@pytest.fixture
def call(sim: Simulator) -> Caller:
    """A program of this account."""
    return Caller(sim)


@pytest.fixture
def alice(sim: Simulator) -> str:
    """A person who follows the account and has written."""
    alice = sim.user("alice")
    sim.follow(alice)
    sim.text(alice, "hi")
    return alice


# Tokens.


def test_each_token_call_gives_a_new_one_and_the_one_before_lives_five_minutes(sim: Simulator, call: Caller) -> None:
    account = sim.account()
    query = {"grant_type": "client_credential", "appid": account["appid"], "secret": account["secret"]}
    first, second = (call.raw("GET", "/cgi-bin/token", params=query).json()["access_token"] for _ in range(2))
    assert first != second
    assert "ip_list" in call.wechat("getcallbackip", token=first)
    sim.clock(301)
    assert call.wechat("getcallbackip", token=first)["errcode"] == 42001
    assert "ip_list" in call.wechat("getcallbackip", token=second)


def test_stable_token_stays_until_five_minutes_before_its_end(sim: Simulator, call: Caller) -> None:
    first = call.stable()
    sim.clock(6800)
    again = call.stable()
    assert again["access_token"] == first["access_token"]
    assert 300 <= again["expires_in"] <= 400
    sim.clock(150)
    renewed = call.stable()["access_token"]
    assert renewed != first["access_token"]
    assert "ip_list" in call.wechat("getcallbackip", token=first["access_token"])
    sim.clock(300)
    assert call.wechat("getcallbackip", token=first["access_token"])["errcode"] == 42001


def test_forced_token_ends_the_one_before_and_comes_every_thirty_seconds(sim: Simulator, call: Caller) -> None:
    first = call.stable()["access_token"]
    assert call.stable(force_refresh=True)["access_token"] != first
    assert call.wechat("getcallbackip", token=first)["errcode"] == 40001
    assert call.stable(force_refresh=True)["errcode"] == 45011
    sim.clock(31)
    assert "access_token" in call.stable(force_refresh=True)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"appid": "wx-other"}, 40013),
        ({"secret": "other"}, 40125),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"grant_type": "password"}, 40002),
    ],
)
def test_wrong_owner_gets_no_token(call: Caller, more: dict[str, str], code: int) -> None:
    assert call.stable(**more)["errcode"] == code


def test_stable_token_is_asked_by_post(call: Caller) -> None:
    assert call.raw("GET", "/cgi-bin/stable_token").json()["errcode"] == 43002


def test_an_ip_off_the_allow_list_gets_no_token(sim: Simulator, call: Caller) -> None:
    sim.account(ip_allow=["203.0.113.7"])
    answer = call.stable()
    assert answer["errcode"] == 40164
    assert "127.0.0.1" in answer["errmsg"]


@pytest.mark.parametrize(("token", "code"), [("short", 40014), ("x" * 136, 40001)])
def test_wrong_token_is_refused(call: Caller, token: str, code: int) -> None:
    answer = call.wechat("user/get", token=token)
    assert answer["errcode"] == code
    assert re.search(r" rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$", answer["errmsg"])


def test_a_missing_token_is_refused(call: Caller) -> None:
    assert call.raw("GET", "/cgi-bin/user/get").json()["errcode"] == 41001


def test_test_account_has_two_hundred_tokens_a_day(sim: Simulator, call: Caller) -> None:
    sim.account(kind="test", daily_limits={"token": 2})
    account = sim.account()
    query = {"grant_type": "client_credential", "appid": account["appid"], "secret": account["secret"]}
    answers = [call.raw("GET", "/cgi-bin/token", params=query).json() for _ in range(3)]
    assert [answer.get("errcode", 0) for answer in answers] == [0, 0, 45009]
    sim.clock(24 * 3600)
    assert "access_token" in call.raw("GET", "/cgi-bin/token", params=query).json()


# Customer-service messages.


def test_a_message_shows_the_remaining_credit(sim: Simulator, call: Caller, alice: str) -> None:
    assert call.say(alice, "你好") == 0
    entry = sim.transcript(alice)[-1]
    assert (entry["who"], entry["via"], entry["text"], entry["left"]) == ("account", "kf", "你好", 22)


def test_twenty_messages_then_none_until_the_person_writes(sim: Simulator, call: Caller, alice: str) -> None:
    sim.clock(61)
    assert [call.say(alice, "x") for _ in range(21)] == [0] * 20 + [45047]
    sim.text(alice, ".")
    assert call.say(alice, "x") == 0


def test_five_messages_where_the_account_says_so(sim: Simulator, call: Caller) -> None:
    sim.account(kf_rules={"text": 5, "merge": "replace"})
    bob = sim.user("bob")
    sim.follow(bob)
    sim.text(bob, "hi")
    assert [call.say(bob, "x") for _ in range(6)] == [0] * 5 + [45047]


def test_window_ends_after_two_days_and_with_leaving(sim: Simulator, call: Caller, alice: str) -> None:
    sim.clock(48 * 3600 + 1)
    call.stable()
    fresh = Caller(sim)
    assert fresh.say(alice, "x") == 45015
    sim.text(alice, "hi")
    sim.unfollow(alice)
    assert fresh.say(alice, "x") == 45015


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"touser": "nobody", "msgtype": "text", "text": {"content": "x"}}, 40003),
        ({"msgtype": "text", "text": {"content": ""}}, 44004),
        ({"msgtype": "song", "song": {}}, 40008),
        ({"msgtype": "text", "text": {"content": "字" * 683}}, 45002),
        ({"msgtype": "text", "text": {"content": "字" * 682}}, 0),
    ],
)
def test_message_that_is_wrong_is_refused(call: Caller, alice: str, body: dict[str, Any], code: int) -> None:
    assert call.wechat("message/custom/send", {"touser": alice, **body})["errcode"] == code


def test_body_that_is_no_json_is_refused(call: Caller) -> None:
    token = {"access_token": call.stable()["access_token"]}
    for data, code in ((b"{", 47001), (b"", 44002)):
        answer = call.raw("POST", "/cgi-bin/message/custom/send", params=token, data=data)
        assert answer.json()["errcode"] == code


def test_menu_message_shows_its_choices(sim: Simulator, call: Caller, alice: str) -> None:
    menu = {"head_content": "好用吗", "list": [{"id": "1", "content": "好"}], "tail_content": "谢谢"}
    assert call.wechat("message/custom/send", {"touser": alice, "msgtype": "msgmenu", "msgmenu": menu})["errcode"] == 0
    assert sim.transcript(alice)[-1]["menu"] == [{"id": "1", "content": "好"}]


def test_typing_needs_an_action_within_thirty_seconds_and_lasts_fifteen(
    sim: Simulator, call: Caller, alice: str
) -> None:
    def typing(command: str) -> int:
        return int(call.wechat("message/custom/typing", {"touser": alice, "command": command})["errcode"])

    assert [typing("Typing"), typing("Typing"), typing("Dancing")] == [0, 45081, 45072]
    assert sim.person(alice)["typing"]
    call.say(alice, "x")
    assert not sim.person(alice)["typing"]
    assert [typing("Typing"), typing("CancelTyping"), typing("Typing")] == [0, 0, 0]
    sim.clock(31)
    assert typing("Typing") == 45080


# Template messages.

GOOD = {
    "thing1": {"value": "备份完成"},
    "thing2": {"value": "用时 3 分"},
    "phrase3": {"value": "通知"},
    "time4": {"value": "2026-11-21 12:00:00"},
    "character_string5": {"value": "nas-1"},
}


def _template(call: Caller, openid: str, **more: Any) -> Any:
    return call.wechat("message/template/send", {"touser": openid, "template_id": INFO_TEMPLATE, "data": GOOD, **more})


def test_template_is_a_card(sim: Simulator, call: Caller, alice: str) -> None:
    answer = _template(call, alice, url="https://example.com/m/1")
    assert answer["errcode"] == 0
    card = sim.transcript(alice)[-1]
    assert (card["via"], card["text"], card["url"], card["msgid"]) == (
        "template", "任务通知", "https://example.com/m/1", answer["msgid"],
    )  # fmt: skip
    assert card["rows"][0] == {"label": "标题", "value": "备份完成", "color": ""}


def test_template_needs_no_window(sim: Simulator, call: Caller) -> None:
    bob = sim.user("bob")
    sim.follow(bob)
    sim.clock(61)
    assert call.say(bob, "x") == 45015
    assert _template(call, bob)["errcode"] == 0


def test_same_client_msg_id_is_one_card_for_ten_minutes(sim: Simulator, call: Caller, alice: str) -> None:
    ids = [_template(call, alice, client_msg_id="d-1")["msgid"] for _ in range(2)]
    assert ids[0] == ids[1]
    assert [entry["via"] for entry in sim.transcript(alice)].count("template") == 1
    sim.clock(601)
    assert _template(call, alice, client_msg_id="d-1")["msgid"] != ids[0]


def test_template_refusals(sim: Simulator, call: Caller, alice: str) -> None:
    assert _template(call, "o-nobody")["errcode"] == 40003
    assert _template(call, alice, template_id="TM-none")["errcode"] == 40037
    assert _template(call, alice, data={"thing1": "bare"})["errcode"] == 47001
    sim.refuse_template(alice)
    assert _template(call, alice)["errcode"] == 43101
    sim.unfollow(alice)
    assert _template(call, alice)["errcode"] == 43004


def test_template_quota_of_the_day(sim: Simulator, call: Caller, alice: str) -> None:
    sim.account(daily_limits={"template": 1})
    assert [_template(call, alice)["errcode"] for _ in range(2)] == [0, 45009]
    appid = sim.account()["appid"]
    assert call.wechat("clear_quota", {"appid": appid})["errcode"] == 0
    assert _template(call, alice)["errcode"] == 0


def test_quota_is_cleared_ten_times_a_month(sim: Simulator, call: Caller) -> None:
    appid = sim.account()["appid"]
    codes = [call.wechat("clear_quota", {"appid": appid})["errcode"] for _ in range(11)]
    assert codes == [0] * 10 + [48006]


def test_subscription_account_has_neither_templates_nor_codes(sim: Simulator, call: Caller, alice: str) -> None:
    sim.account(kind="subscription")
    assert _template(call, alice)["errcode"] == 48001
    assert call.wechat("qrcode/create", {"action_name": "QR_SCENE"})["errcode"] == 48001
    assert call.say(alice, "x") == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("thing1", "二十一个字二十一个字二十一个字二十一个字一"),
        ("thing1", ""),
        ("thing2", "two\nlines"),
        ("phrase3", "INFO"),
        ("phrase3", "六个字六个字"),
        ("time4", "yesterday"),
        ("character_string5", "中文"),
        ("character_string5", "x" * 33),
    ],
)
def test_field_that_breaks_its_type_is_named(field: str, value: str) -> None:
    data = {**GOOD, field: {"value": value}}
    assert (first_fault(seeded()[INFO_TEMPLATE], data) or ("",))[0] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("thing1", "x" * 20),
        ("time4", "2019年10月1日 15:01"),
        ("time4", "2019-10-01 15:01"),
        ("time4", "15:01"),
        ("phrase3", "警告"),
        ("character_string5", "a-1_2.3:4/5"),
    ],
)
def test_field_that_keeps_to_its_type_is_taken(field: str, value: str) -> None:
    assert first_fault(seeded()[INFO_TEMPLATE], {**GOOD, field: {"value": value}}) is None


def test_strict_fields_answer_47003_and_a_test_account_takes_anything(sim: Simulator, call: Caller, alice: str) -> None:
    data = {**GOOD, "phrase3": {"value": "warning", "color": "#FF0000"}}
    answer = _template(call, alice, data=data)
    assert answer["errcode"] == 47003
    assert answer["errmsg"].startswith("argument invalid! data.phrase3.value")
    sim.account(kind="test")
    assert _template(call, alice, data=data)["errcode"] == 0
    assert _template(call, alice, template_id=PLAIN_TEMPLATE, data={"title": {"value": "a\nb"}})["errcode"] == 0


def test_templates_are_listed_added_and_removed(call: Caller) -> None:
    body = {"template_id_short": "OPENTM1", "keyword_name_list": ["标题"]}
    added = call.wechat("template/api_add_template", body)["template_id"]
    assert added in [row["template_id"] for row in call.wechat("template/get_all_private_template")["template_list"]]
    assert call.wechat("template/del_private_template", {"template_id": added})["errcode"] == 0
    assert call.wechat("template/del_private_template", {"template_id": added})["errcode"] == 40037


# QR codes, menu, people.


def _code(call: Caller, scene: object, **more: Any) -> Any:
    name = "scene_str" if isinstance(scene, str) else "scene_id"
    action = "QR_STR_SCENE" if isinstance(scene, str) else "QR_SCENE"
    return call.wechat(
        "qrcode/create", {"action_name": action, "action_info": {"scene": {name: scene}}, **more}
    )  # fmt: skip


def test_code_has_a_picture_an_address_and_an_end(sim: Simulator, call: Caller) -> None:
    made = _code(call, "login:abc", expire_seconds=300)
    assert made["expire_seconds"] == 300
    picture = call.raw("GET", "/cgi-bin/showqrcode", params={"ticket": made["ticket"]})
    assert picture.headers["Content-Type"] == "image/svg+xml"
    assert picture.content.lstrip().startswith(b"<?xml")
    assert [code["scene"] for code in sim.state()["codes"]] == ["login:abc"]
    bob = sim.user("bob")
    sim.scan(bob, made["url"])
    assert sim.person(bob)["followed"]
    sim.clock(301)
    sim.scan(bob, made["ticket"])
    assert sim.transcript(bob)[-1]["text"] == "二维码已过期"
    assert sim.state()["codes"] == []


@pytest.mark.parametrize("scene", ["", "x" * 65, 0, 2**32])
def test_scene_that_is_too_long_or_no_number_is_refused(call: Caller, scene: object) -> None:
    assert _code(call, scene)["errcode"] == 40053


def test_code_lives_thirty_days_at_most_and_a_minute_by_itself(call: Caller) -> None:
    assert _code(call, 7, expire_seconds=10**8)["expire_seconds"] == 2_592_000
    assert _code(call, 7)["expire_seconds"] == 60
    lasting = {"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": "inv:1"}}}
    assert "expire_seconds" not in call.wechat("qrcode/create", lasting)


BUTTON = {"type": "click", "name": "状态", "key": "status"}


@pytest.mark.parametrize(
    ("buttons", "code"),
    [
        ([], 40016),
        ([BUTTON] * 4, 40016),
        ([{**BUTTON, "name": "六个字六个字"}], 40018),
        ([{**BUTTON, "key": "k" * 129}], 40019),
        ([{"name": "更多", "sub_button": [BUTTON] * 6}], 40023),
        ([{"type": "view", "name": "主页", "url": ""}], 40020),
        ([{**BUTTON, "type": "dance"}], 40017),
        ([BUTTON, {"name": "更多", "sub_button": [{"type": "view", "name": "主页", "url": "https://a.example"}]}], 0),
    ],
)
def test_menu_is_looked_at(call: Caller, buttons: list[Any], code: int) -> None:
    assert call.wechat("menu/create", {"button": buttons})["errcode"] == code


def test_menu_is_shown_and_taken_away(sim: Simulator, call: Caller) -> None:
    assert call.wechat("menu/get")["errcode"] == 46003
    call.wechat("menu/create", {"button": [BUTTON]})
    assert call.wechat("menu/get")["menu"]["button"] == [BUTTON]
    assert sim.state()["menu"] == [BUTTON]
    call.wechat("menu/delete")
    assert sim.state()["menu"] == []


def test_people_have_no_names_any_more(sim: Simulator, call: Caller, alice: str) -> None:
    info = call.wechat("user/info", openid=alice)
    assert (info["subscribe"], info["nickname"], info["headimgurl"]) == (1, "", "")
    assert "unionid" not in info
    sim.account(with_unionid=True)
    assert call.wechat("user/info", openid=alice)["unionid"]
    assert call.wechat("user/info", openid="nobody")["errcode"] == 40003
    assert call.wechat("user/get")["data"]["openid"] == [alice]
    sim.unfollow(alice)
    assert call.wechat("user/info", openid=alice)["subscribe"] == 0
    assert call.wechat("user/get")["total"] == 0
