"""Every driver against the stand-in of its service: what arrives, what is refused, what each refusal means."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.utils import translation

from devtools.simulator import errors
from devtools.simulator.client import Entry, Simulator
from kernel.text import size_in
from notifications.drivers import dingtalk, feishu
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.drivers.parcel import Parcel
from notifications.drivers.registry import all_drivers, driver_of
from notifications.drivers.webhook import new_secret

pytestmark = pytest.mark.sqlite_only

NOW = dt.datetime(2026, 11, 21, 8, 30, tzinfo=dt.UTC)
CHAT = "100000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The target of a driver in the simulator, and the settings that lead to it."""

    typed: Mapping[str, str]
    path: str
    platform: str = ""
    key: str = ""
    table: str = ""

    @property
    def room(self) -> str:
        return f"{self.platform}:{self.key}"


TARGETS = {
    "wecom_robot": Target(
        typed={"key": "{base}/cgi-bin/webhook/send?key=robot-0001", "mention": "@all"},
        path="/cgi-bin/webhook/send", platform="wecom", key="robot-0001", table="wecom",
    ),
    "feishu": Target(
        typed={"key": "{base}/open-apis/bot/v2/hook/robot-0002", "secret": "s1"},
        path="/open-apis/*", platform="feishu", key="robot-0002", table="feishu",
    ),
    "dingtalk": Target(
        typed={"token": "{base}/robot/send?access_token=robot0003", "secret": "SECs1"},
        path="/robot/send", platform="dingtalk", key="robot0003", table="dingtalk",
    ),
    "webhook": Target(
        typed={"url": "{base}/hook/mine", "secret": "{secret}"}, path="/hook/*", platform="sink", key="mine"
    ),
    "slack": Target(
        typed={"webhook": "https://hooks.slack.com/services/T1/B1/abc"},
        path="/services/*", platform="slack", key="T1/B1/abc", table="slack",
    ),
    "discord": Target(
        typed={"webhook": "https://discord.com/api/webhooks/123456789/" + "t" * 30},
        path="/discord/*", platform="discord", key="123456789",
    ),
    "teams": Target(
        typed={"webhook": "{base}/teams/workflows/workflow1/triggers/manual/paths/invoke?api-version=2016-06-01&sig=x"},
        path="/teams/*", platform="teams", key="workflow1",
    ),
    "bark": Target(
        typed={"server": "{base}/bark", "key": "device1"}, path="/bark/*", platform="bark", key="device1", table="bark"
    ),
    "pushplus": Target(
        typed={"token": "a" * 32}, path="/pushplus/*", platform="pushplus", key="a" * 32, table="pushplus"
    ),
    "serverchan": Target(
        typed={"key": "SCT1abc"}, path="/serverchan/*", platform="serverchan", key="SCT1abc", table="serverchan"
    ),
    "wxpusher": Target(
        typed={"token": "AT_abcdefgh", "to": "UID_abcdefgh, 12"},
        path="/wxpusher/*", platform="wxpusher", key="abcdefgh", table="wxpusher",
    ),
    "ntfy": Target(
        typed={"server": "{base}/ntfy/", "topic": "mine-1"}, path="/ntfy*", platform="ntfy", key="mine-1", table="ntfy"
    ),
    "gotify": Target(
        typed={"server": "{base}/gotify", "token": "Aabcdefghijklmn"},
        path="/gotify/*", platform="gotify", key="Aabcdefghijklmn",
    ),
}  # fmt: skip
SECRET = new_secret()

Send = Callable[..., Receipt]


def parcel(**more: Any) -> Parcel:
    return Parcel(**{"delivery_id": "d1", "title": "备份", "text": '磁盘 "/" 满了\n<b>&]]>', "at": NOW, **more})


@pytest.fixture
def services(sim: Simulator, settings: Any) -> Simulator:
    """All of them know the keys of `TARGETS`, and may be called though they are on loopback."""
    settings.OUTBOUND_ALLOW, settings.OUTBOUND_HTTP = ["127.0.0.0/8"], True
    settings.SLACK_API_BASE = sim.base
    settings.SLACK_BOT_TOKEN = sim.settings()["LETSERVER_SLACK_BOT_TOKEN"]
    settings.TELEGRAM_BOT_TOKEN = sim.settings()["LETSERVER_TELEGRAM_BOT_TOKEN"]
    secrets = {"feishu": {"secret": "s1"}, "dingtalk": {"secret": "SECs1"}, "webhook": {"secret": SECRET}}
    for name, target in TARGETS.items():
        sim.robot(target.platform, target.key, **secrets.get(name, {}))
    return sim


def cleaned(name: str, sim: Simulator) -> dict[str, object]:
    """Return what the driver's form makes of what a person typed."""
    typed = {
        key: value.replace("{base}", sim.base).replace("{secret}", SECRET) for key, value in TARGETS[name].typed.items()
    }
    form = driver_of(name).form(typed)
    assert form.is_valid(), (name, form.errors)
    return dict(form.cleaned_data)


def shown(sim: Simulator, name: str) -> list[Entry]:
    return [entry for entry in sim.transcript(TARGETS[name].room) if entry["who"] == "account"]


def refusal(name: str, sim: Simulator, **more: Any) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        driver_of(name).send(parcel(**more), cleaned(name, sim))
    assert caught.value.__cause__ is None
    return caught.value


def test_signatures_are_the_platforms_own() -> None:
    assert feishu.sign("1599360473", "demo") == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="
    assert dingtalk.sign("1700000000000", "SECdemo") == "lOvVf9TQCVugV68mGbSZCg0gzOl1SVjxWi1MyVZCUuA="


@pytest.mark.parametrize("name", TARGETS)
def test_message_arrives_with_all_it_says(services: Simulator, name: str) -> None:
    receipt = driver_of(name).send(
        parcel(level="warning", source="nas", url="https://example.com/x", actions=((1, "again"),), count=3),
        cleaned(name, services),
    )
    (entry,) = shown(services, name)
    for part in ("备份", "磁盘 ", "满了"):
        assert part in entry["text"], part
    if name != "webhook":
        assert "1. again" in entry["text"]
        assert "https://example.com/x" in str(entry)
    assert receipt.note == ""


@pytest.mark.parametrize("name", TARGETS)
def test_text_that_is_too_long_is_cut_to_what_the_service_takes(services: Simulator, name: str) -> None:
    driver = driver_of(name)
    # Quotation marks and line ends count twice where a whole body is limited.
    text = ('好"\n' * driver.longest)[: driver.longest] + "末"
    receipt = driver.send(parcel(text=text, detail_url="https://ls.example/m/1"), cleaned(name, services))
    assert receipt.note == "cut"
    (entry,) = shown(services, name)
    assert "… https://ls.example/m/1" in entry["text"].replace("\\n", "\n")
    assert "末" not in entry["text"]


@pytest.mark.parametrize("name", TARGETS)
def test_trouble_on_the_way_is_told_apart(services: Simulator, name: str) -> None:
    path = TARGETS[name].path
    for fault, kind, code in [
        ("http:502", Fault.RETRY, "http 502"),
        ("http:429", Fault.QUOTA, "http 429"),
        ("drop_connection", Fault.RETRY, "connect"),
    ]:
        services.fault(fault, path)
        error = refusal(name, services)
        assert (error.kind, error.code, error.unheard) == (kind, code, fault == "drop_connection"), fault
    if name not in ("webhook", "discord", "teams"):
        services.fault("html", path)
        error = refusal(name, services)
        assert (error.kind, error.code, error.unheard) == (Fault.RETRY, "garbled", True)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.table])
def test_every_code_that_the_service_is_known_to_answer_has_its_kind(services: Simulator, name: str) -> None:
    driver, target = driver_of(name), TARGETS[name]
    tables = {row.code: row.kind for row in driver.troubles}
    foreign = {
        "wecom": {"40001", "40013", "40014", "40056", "41001", "42001", "45002", "60020", "81013", "44004", "47001"}
    }
    for code in errors.ALL[target.table]:
        if code in foreign.get(target.table, ()) and name == "wecom_robot":
            continue
        services.fault(f"errcode:{code}", target.path)
        error = refusal(name, services)
        known = error.code in tables or error.code.startswith("http ")
        assert known, (code, error.code)
        assert driver.explain(error.code), code


def test_unknown_key_is_a_broken_channel(services: Simulator) -> None:
    for name, target in TARGETS.items():
        if name == "webhook":
            continue
        services.robot(target.platform, target.key, gone=True)
        error = refusal(name, services)
        assert error.kind is Fault.AUTH, (name, error.code)


def test_neither_words_nor_keys_stand_in_an_error_or_a_log(
    services: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="notifications")
    caplog.set_level("DEBUG", logger="kernel")
    for name, target in TARGETS.items():
        services.fault("http:500", target.path)
        error = refusal(name, services, text="private words")
        for secret in ("private words", target.key, SECRET):
            assert secret not in f"{error!r} {error} {caplog.text}", name


# Checks that only one driver needs.


def test_robot_calls_people_by_name_and_number(services: Simulator) -> None:
    robot = driver_of("wecom_robot")
    settings = cleaned("wecom_robot", services)
    robot.send(parcel(mentions=("alice", "13800000000")), settings)
    (call,) = services.calls("/cgi-bin/webhook/send")
    text = _json(call)["text"]
    assert text["mentioned_list"] == ["alice", "@all"]
    assert text["mentioned_mobile_list"] == ["13800000000"]
    robot.send(parcel(format="markdown", mentions=("alice",), text="**x**"), settings)
    assert "<@alice>" in _json(services.calls("/cgi-bin/webhook/send")[1])["markdown"]["content"]


def test_robots_of_dingtalk_and_feishu_call_people_too(services: Simulator) -> None:
    driver_of("dingtalk").send(parcel(mentions=("13800000000", "u1", "@all")), cleaned("dingtalk", services))
    called = _json(services.calls("/robot/send")[0])
    assert called["at"] == {"atMobiles": ["13800000000"], "atUserIds": ["u1"], "isAtAll": True}
    assert "@13800000000 @u1" in called["text"]["content"]
    driver_of("feishu").send(parcel(mentions=("ou_1", "@all")), cleaned("feishu", services))
    assert '<at user_id="ou_1"></at><at user_id="all"></at>' in str(_json(services.calls("/open-apis/*")[0])["content"])


def test_twenty_first_message_of_a_minute_waits(services: Simulator) -> None:
    settings = cleaned("wecom_robot", services)
    for _ in range(20):
        driver_of("wecom_robot").send(parcel(), settings)
    error = refusal("wecom_robot", services)
    assert (error.kind, error.code, error.retry_after_seconds) == (Fault.QUOTA, "45009", 65)


def test_wrong_signing_secret_is_a_broken_channel(services: Simulator) -> None:
    for name, code in (("feishu", "19021"), ("dingtalk", "310000")):
        services.robot(TARGETS[name].platform, TARGETS[name].key, secret="another")
        error = refusal(name, services)
        assert (error.kind, error.code) == (Fault.AUTH, code)


def test_webhook_is_signed_and_has_the_body_that_was_asked_for(services: Simulator) -> None:
    driver, settings = driver_of("webhook"), cleaned("webhook", services)
    driver.send(parcel(), settings)
    driver.send(parcel(), {**settings, "secret": new_secret(), "old_secret": SECRET})
    driver.send(parcel(), {**settings, "template": '{"content": "{{title}}: {{ text }}", "n": "{{count}}"}'})
    first, rotated, filled = shown(services, "webhook")
    assert first["verified"]
    assert rotated["verified"]
    assert rotated["repeat"] == 1  # the same id: the receiver can drop it
    assert _json({"body": filled["text"]}) == {"content": '备份: 磁盘 "/" 满了\n<b>&]]>', "n": "1"}
    assert _json({"body": first["text"]})["at"] == "2026-11-21T08:30:00Z"


@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait"),
    [
        (410, {}, Fault.AUTH, None),
        (404, {}, Fault.RETRY, None),
        (302, {"Location": "http://127.0.0.1:1/"}, Fault.RETRY, None),
        (503, {"Retry-After": "120"}, Fault.RETRY, 120.0),
        (429, {"Retry-After": "999999"}, Fault.QUOTA, 86_400.0),
        (429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, Fault.QUOTA, 0.0),
        (429, {"Retry-After": "soon"}, Fault.QUOTA, None),
    ],
)
def test_receivers_status_decides(
    services: Simulator, status: int, headers: dict[str, str], kind: Fault, wait: float | None
) -> None:
    services.robot("sink", "mine", status=status, headers=headers, secret=SECRET)
    error = refusal("webhook", services)
    assert (error.kind, error.code, error.retry_after_seconds) == (kind, f"http {status}", wait)


def test_server_that_a_person_chose_is_not_called_inside_of_our_network(services: Simulator, settings: Any) -> None:
    chosen = {name: cleaned(name, services) for name in ("webhook", "teams", "bark", "ntfy", "gotify")}
    settings.OUTBOUND_ALLOW = []
    for name, fields in chosen.items():
        with pytest.raises(ChannelError) as caught:
            driver_of(name).send(parcel(), fields)
        assert (caught.value.kind, caught.value.code) == (Fault.AUTH, "refused")
        assert not shown(services, name)
    for name in chosen:
        typed = {key: value.replace("{base}", services.base) for key, value in TARGETS[name].typed.items()}
        assert not driver_of(name).form(typed).is_valid()


def test_telegram_waits_as_long_as_it_is_told_and_knows_who_has_blocked_it(services: Simulator) -> None:
    telegram = driver_of("telegram")
    chat = services.user("alice", platform="telegram")
    services.follow(chat)
    receipt = telegram.send(parcel(address=chat), {})
    assert receipt.provider_id != ""
    assert "备份\n磁盘" in services.transcript(chat)[-1]["text"]
    services.fault("errcode:429", "/bot*")
    error = _telegram_refusal(chat)
    assert error.kind is Fault.QUOTA
    assert (error.retry_after_seconds or 0) > 0
    services.unfollow(chat)
    assert (_telegram_refusal(chat).kind, _telegram_refusal(chat).code) == (Fault.AUTH, "403")
    assert _telegram_refusal("999").kind is Fault.AUTH
    form = telegram.form({"token": services.settings()["LETSERVER_TELEGRAM_BOT_TOKEN"], "chat": chat})
    assert form.is_valid(), form.errors


def _telegram_refusal(chat: str) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        driver_of("telegram").send(parcel(address=chat), {})
    return caught.value


def test_slack_writes_to_a_person_by_the_apps_bot(services: Simulator, settings: Any) -> None:
    member = services.user("alice", platform="slack")
    driver_of("slack").send(parcel(address=member), {})
    assert "备份\n磁盘" in services.transcript(member)[-1]["text"]
    settings.SLACK_BOT_TOKEN = ""
    with pytest.raises(ChannelError) as caught:
        driver_of("slack").send(parcel(address=member), {})
    assert caught.value.kind is Fault.PERMANENT


def test_wecom_app_reaches_members_and_renews_its_token_once(services: Simulator, settings: Any) -> None:
    account = services.account("wecom")
    settings.WECOM_CORP_ID, settings.WECOM_AGENT_ID = account["corp_id"], str(account["agent_id"])
    settings.WECOM_SECRET = account["secret"]
    member = services.user("alice", platform="wecom")
    app = driver_of("wecom_app")
    app.send(parcel(address=member), {})
    services.fault("expire_token", "/cgi-bin/message/send")
    typed = {"corp_id": account["corp_id"], "agent_id": str(account["agent_id"]), "secret": account["secret"]}
    form = app.form({**typed, "to": f" {member} ,nobody"})
    assert form.is_valid(), form.errors
    app.send(parcel(text="again"), form.cleaned_data)
    texts = [entry["text"] for entry in services.transcript(member) if entry["who"] == "account"]
    assert [text.startswith("备份\n") for text in texts] == [True, True]
    assert len(services.calls("/cgi-bin/gettoken")) == 2
    with pytest.raises(ChannelError) as caught:
        app.send(parcel(address="nobody"), {})
    assert caught.value.kind is Fault.AUTH
    with pytest.raises(ChannelError) as caught:
        app.send(parcel(), {**form.cleaned_data, "secret": "another"})
    assert (caught.value.kind, caught.value.code) == (Fault.AUTH, "40001")


def _json(call: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call["body"])
    return found


# All of them.


def test_every_driver_says_what_a_person_and_the_engine_need() -> None:
    for name, driver in all_drivers().items():
        assert driver.name == name
        assert driver.longest > 0
        assert set(driver.counted_by) <= set(driver.form.base_fields)
        for field_name, field in driver.form.base_fields.items():
            assert str(field.help_text), (name, field_name)
            assert str(field.label), (name, field_name)
        codes = [row.code for row in driver.troubles]
        assert len(codes) == len(set(codes)), name
        with translation.override("en"):
            assert all(str(row.meaning) for row in driver.troubles), name


def test_two_channels_with_one_robot_share_a_meter_which_does_not_show_the_key() -> None:
    robot = driver_of("wecom_robot")
    one, same = robot.meter({"key": "k-secret", "mention": ""}), robot.meter({"key": "k-secret", "mention": "@all"})
    assert one == same != robot.meter({"key": "other"})
    assert "k-secret" not in one
    app = driver_of("wecom_app")
    assert app.meter({}, "alice") != app.meter({}, "bob")


def test_what_is_said_twice_in_a_service_is_cut_in_its_unit() -> None:
    for driver in all_drivers().values():
        text, note = driver.fit("好" * driver.longest * 2, parcel(detail_url="https://ls.example/m/1"))
        assert note == "cut"
        assert driver.longest - 40 < size_in(text, driver.unit) <= driver.longest


def test_output_of_a_program_gives_no_orders_and_hides_nothing(services: Simulator) -> None:
    text = '<!channel> @everyone @here <at user_id="all"></at> <@U1> <a href="weixin://x">y</a> \x1b[31mred\u202egnp'
    for name in ("feishu", "dingtalk", "slack", "discord", "teams", "wecom_robot", "bark"):
        driver_of(name).send(parcel(text=text, title="@all"), cleaned(name, services))
        (entry,) = shown(services, name)
        for order in ("<!channel", "@everyone", "@here", "<at ", "<@U1", "<a ", "\x1b", "\u202e", "@all"):
            assert order not in entry["text"], (name, order)
        assert "everyone" in entry["text"]
    assert parcel(text="<@U1>", format="markdown").words() == "<@U1>"
