"""The official account against the stand-in: one token for all, bounded calls, templates that are never refused."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings as server
from django.core.cache import cache
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from devtools.simulator.client import Simulator
from devtools.simulator.templates import first_fault, seeded
from kernel.sealing import unseal
from letserver.environment import SETTINGS
from notifications.drivers.base import ChannelError, Fault
from notifications.drivers.parcel import Parcel
from notifications.drivers.registry import driver_of
from notifications.wechat import client
from notifications.wechat.client import OfficialAccount, official_account
from notifications.wechat.fields import field_value

pytestmark = pytest.mark.sqlite_only

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
DRIVER = driver_of("wechat")


@pytest.fixture
def wechat(sim: Simulator, settings: Any) -> OfficialAccount:
    """This process's account, as if the process had just begun."""
    reads = {setting.name: setting.read for setting in SETTINGS}
    for name, value in sim.settings().items():
        short = name.removeprefix("LETSERVER_")
        if short.startswith("WECHAT"):
            setattr(settings, short, reads[name](value))
    settings.WECHAT_TEMPLATE_FIELDS = {
        "thing1": "title", "thing2": "text", "phrase3": "level", "time4": "time", "character_string5": "source",
    }  # fmt: skip
    client._account.cache_clear()
    account = official_account()
    assert account is not None
    return account


@pytest.fixture
def alice(sim: Simulator) -> str:
    """A person who follows the account and has written."""
    alice = sim.user("alice")
    sim.follow(alice)
    sim.text(alice, "hi")
    return alice


def _parcel(to: str, text: str = "磁盘满了", **more: Any) -> Parcel:
    return Parcel(
        **{"delivery_id": "d1", "title": "备份", "text": text, "at": NOW, "address": to, "way": "text", **more}
    )


def _refusal(parcel: Parcel) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        DRIVER.send(parcel, {})
    return caught.value


def _fetches(sim: Simulator) -> int:
    return len(sim.calls("/cgi-bin/stable_token"))


# The token.


def test_many_threads_of_many_processes_fetch_one_token(sim: Simulator, wechat: OfficialAccount, alice: str) -> None:
    sim.fault("delay_ms:300", "/cgi-bin/stable_token")
    # A client of its own stands for a process: they share nothing but Redis.
    others = [OfficialAccount() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda account: account.show_typing(alice), others))
    assert _fetches(sim) == 1


def test_token_is_sealed_in_redis_and_lasts_until_five_minutes_before_its_end(
    sim: Simulator, wechat: OfficialAccount, alice: str
) -> None:
    wechat.send_text(alice, "x")
    (key,) = [key for key in cache.keys("access-token:*") if not key.endswith(":lock")]  # type: ignore[attr-defined]
    (call,) = sim.calls("/cgi-bin/message/custom/send")
    token = call["query"]["access_token"]
    assert token not in cache.get(key)
    assert unseal(cache.get(key)) == token
    assert 6800 < cache.ttl(key) <= 6900  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", ["expire_token", "errcode:40001", "errcode:40014"])
def test_token_that_is_refused_is_renewed_once_and_the_call_repeated_once(
    sim: Simulator, wechat: OfficialAccount, alice: str, fault: str
) -> None:
    wechat.send_text(alice, "first")
    sim.fault(fault, "/cgi-bin/message/custom/send")
    wechat.send_text(alice, "second")
    assert _fetches(sim) == 2
    assert [entry["text"] for entry in sim.transcript(alice) if entry["via"] == "kf"] == ["first", "second"]


@pytest.mark.parametrize("code", ["42001", "40001"])
def test_many_workers_whose_token_ends_under_them_fetch_one(
    sim: Simulator, wechat: OfficialAccount, alice: str, code: str
) -> None:
    workers = [OfficialAccount() for _ in range(8)]
    workers[0].person(alice)
    if code == "42001":
        sim.clock(7201)
    else:  # another process has forced a new one
        new_message = {"grant_type": "client_credential", "appid": wechat.appid, "secret": server.WECHAT_SECRET}
        forced = sim.session.post(f"{sim.base}/cgi-bin/stable_token", json={**new_message, "force_refresh": True})
        assert "access_token" in forced.json()
    before = _fetches(sim)
    sim.fault("delay_ms:500", "/cgi-bin/stable_token")
    barrier = threading.Barrier(8)

    def ask(worker: OfficialAccount) -> str:
        barrier.wait(10)
        return str(worker.person(alice)["openid"])

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, workers)) == {alice}
    assert _fetches(sim) == before + 1
    # All of them had the token that was refused, not the first alone.
    assert len(sim.calls("/cgi-bin/user/info")) > 1 + 8 + 1


def test_token_that_is_refused_again_and_again_ends_after_one_repeat(
    sim: Simulator, wechat: OfficialAccount, alice: str
) -> None:
    sim.fault("invalidate_token", "/cgi-bin/message/*", times=None)
    error = _refusal(_parcel(alice))
    assert (error.kind, error.code, error.unheard) == (Fault.RETRY, "40001", False)
    assert len(sim.calls("/cgi-bin/message/custom/send")) == 2
    assert _fetches(sim) == 2


def test_without_redis_each_process_has_its_own_token(
    sim: Simulator, wechat: OfficialAccount, alice: str, settings: Any
) -> None:
    away = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": away}
    wechat.send_text(alice, "first")
    wechat.send_text(alice, "second")
    assert _fetches(sim) == 1


def test_token_comes_from_the_old_call_where_the_setting_says_so(
    sim: Simulator, wechat: OfficialAccount, alice: str, settings: Any
) -> None:
    settings.WECHAT_STABLE_TOKEN = False
    account = official_account()
    assert account is not None
    account.send_text(alice, "x")
    assert (_fetches(sim), len(sim.calls("/cgi-bin/token"))) == (0, 1)


def test_wrong_secret_is_this_servers_fault_and_switches_nobody_off(
    sim: Simulator, wechat: OfficialAccount, alice: str, caplog: pytest.LogCaptureFixture
) -> None:
    sim.account(secret="another-secret-0123456789abcdef")
    error = _refusal(_parcel(alice, text="private words"))
    assert (error.kind, error.code) == (Fault.PERMANENT, "40125")
    assert "simulator-secret" not in caplog.text
    assert "private words" not in caplog.text
    assert "WeChat refuses this server" in caplog.text


# Failures on the way.


@pytest.mark.parametrize(
    ("fault", "code", "unheard"),
    [
        ("http:502", "http 502", False),
        ("html", "garbled", True),
        ("truncate_json", "connect", True),
        ("drop_connection", "connect", True),
        ("drop_answer", "connect", True),
        ("errcode:-1", "-1", False),
    ],
)
def test_trouble_on_the_way_is_tried_again_and_tells_whether_it_may_have_arrived(
    sim: Simulator, wechat: OfficialAccount, alice: str, fault: str, code: str, unheard: bool
) -> None:
    wechat.show_typing(alice)
    sim.fault(fault, "/cgi-bin/message/custom/send")
    error = _refusal(_parcel(alice))
    assert (error.kind, error.code, error.unheard) == (Fault.RETRY, code, unheard)
    assert error.__cause__ is None
    assert "access_token" not in str(error)


def test_platform_that_does_not_answer_costs_its_time_and_no_more(
    sim: Simulator, wechat: OfficialAccount, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TOTAL_SECONDS", 0.5)
    sim.fault("delay_ms:3000", "/cgi-bin/message/custom/send")
    began = time.monotonic()
    error = _refusal(_parcel(alice))
    assert (error.kind, error.code, error.unheard) == (Fault.RETRY, "timeout", True)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("code", "kind"),
    [("45015", Fault.WINDOW), ("45047", Fault.QUOTA), ("45009", Fault.QUOTA), ("45011", Fault.QUOTA),
     ("40003", Fault.AUTH), ("43004", Fault.AUTH), ("43101", Fault.PERMANENT), ("48001", Fault.PERMANENT),
     ("99999", Fault.PERMANENT)],
)  # fmt: skip
def test_each_code_has_its_kind(
    sim: Simulator, wechat: OfficialAccount, alice: str, code: str, kind: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: OfficialAccount, _openid: str, _text: str) -> None:
        raise ChannelError(Fault.PERMANENT, code)

    monkeypatch.setattr(OfficialAccount, "send_text", refuse)
    error = _refusal(_parcel(alice))
    assert (error.kind, error.code) == (kind, code)
    waits = {"45009": 86_400 + 60, "45011": 60}.get(code)
    assert (error.retry_after_seconds is None) == (waits is None)
    assert waits is None or 0 < (error.retry_after_seconds or 0) <= waits


# Texts.


def test_texts_end_with_the_window_and_with_their_number(sim: Simulator, wechat: OfficialAccount, alice: str) -> None:
    sim.account(kf_rules={"text": 2})
    sim.clock(61)  # the window that following opens is over
    sim.text(alice, "hi")
    assert [DRIVER.send(_parcel(alice), {}).code for _ in range(2)] == ["0", "0"]
    assert _refusal(_parcel(alice)).code == "45047"
    sim.clock(49 * 3600)
    assert _refusal(_parcel(alice)).code == "45015"


def test_long_text_is_cut_in_bytes_between_characters_and_names_the_page(
    sim: Simulator, wechat: OfficialAccount, alice: str
) -> None:
    receipt = DRIVER.send(_parcel(alice, text="好" * 3000, detail_url="https://ls.example/m/1"), {})
    assert receipt.note == "cut"
    shown = sim.transcript(alice)[-1]["text"]
    assert 2000 < len(shown.encode()) <= 2048
    assert shown.startswith("备份\n好好")
    assert shown.endswith("好… https://ls.example/m/1")


def test_typing_is_shown_once_and_needs_somebody_who_has_just_written(
    sim: Simulator, wechat: OfficialAccount, alice: str
) -> None:
    assert wechat.show_typing(alice)
    assert not wechat.show_typing(alice)
    sim.clock(31)
    assert not wechat.show_typing(alice)


# Templates.


def test_template_message_has_fields_page_and_id_and_is_sent_once(
    sim: Simulator, wechat: OfficialAccount, alice: str
) -> None:
    parcel = _parcel(alice, way="template", level="warning", source="nas", detail_url="https://ls.example/m/1")
    first, again = DRIVER.send(parcel, {}), DRIVER.send(parcel, {})
    assert first.provider_id == again.provider_id != ""
    (card,) = [entry for entry in sim.transcript(alice) if entry["via"] == "template"]
    assert [row["value"] for row in card["rows"]] == ["备份", "磁盘满了", "警告", "2026-11-21 16:30:00", "nas"]
    assert card["url"] == "https://ls.example/m/1"
    assert card["client_msg_id"] == "d1"


def test_who_has_left_is_told_apart_from_who_refuses(sim: Simulator, wechat: OfficialAccount, alice: str) -> None:
    sim.refuse_template(alice)
    assert _refusal(_parcel(alice, way="template")).code == "43101"
    sim.unfollow(alice)
    error = _refusal(_parcel(alice, way="template"))
    assert (error.code, error.kind) == ("43004", Fault.AUTH)


def test_test_account_is_sent_colours_and_a_subscription_account_no_templates(
    sim: Simulator, wechat: OfficialAccount, alice: str, settings: Any
) -> None:
    assert DRIVER.ways_for("auto") == ("text", "template")
    assert DRIVER.ways_for("template") == ("template",)
    settings.WECHAT_KIND = "subscription"
    assert {DRIVER.ways_for(way) for way in ("template", "auto", "")} == {("text",)}
    settings.WECHAT_KIND = "test"
    DRIVER.send(_parcel(alice, way="template", level="error"), {})
    assert {row["color"] for row in sim.transcript(alice)[-1]["rows"]} == {"#E5484D"}


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.sampled_from(
    [
        "",
        "\n\t\x00\x07",
        "\u200b\u200e\ufeff",
        "😀" * 30,
        "👨‍👩‍👧" * 9,
        "好" * 21,
        "a" * 21,
        "\u2028\u2029",
        "e\u0301" * 30,
    ]
)
TYPES = [
    *("thing", "short_thing", "number", "letter", "symbol", "character_string", "time", "date", "amount"),
    *("phone_number", "car_number", "name", "phrase", "const"),
]


@given(ANY_TEXT)
def test_any_text_fits_any_field(text: str) -> None:
    template = seeded()[next(iter(seeded()))]
    for kind in TYPES:
        content = "x:{{" + kind + "1.DATA}}"
        value = field_value(f"{kind}1", text, at=NOW)
        one = type(template)(template_id="t", title="t", content=content)
        assert first_fault(one, {f"{kind}1": {"value": value}}) is None, (kind, value)
        assert len(value.encode("utf-16-le")) // 2 <= 32


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.sampled_from(["info", "warning", "error"]))
@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_message_is_taken_as_a_template(
    sim: Simulator, wechat: OfficialAccount, alice: str, title: str, text: str, source: str, level: str
) -> None:
    parcel = _parcel(alice, text=text, title=title, source=source, level=level, way="template", delivery_id="")
    assert DRIVER.send(parcel, {}).provider_id


# The rest.


def test_qr_code_has_a_ticket_and_an_address_and_a_picture(sim: Simulator, wechat: OfficialAccount, alice: str) -> None:
    ticket, address = wechat.make_qr("login:1", seconds=10**9)
    assert address.startswith(sim.base)
    assert wechat.qr_picture(ticket).startswith(f"{sim.base}/cgi-bin/showqrcode?ticket=")
    assert wechat.make_qr("inv:1", seconds=None)[0] != ticket
    assert wechat.person(alice)["openid"] == alice


def test_menu_that_is_wrong_is_refused_with_its_code(sim: Simulator, wechat: OfficialAccount) -> None:
    wechat.set_menu([{"type": "click", "name": "状态", "key": "status"}])
    with pytest.raises(ChannelError) as caught:
        wechat.set_menu([])
    assert caught.value.code == "40016"


def test_threads_of_one_process_share_the_client(sim: Simulator, wechat: OfficialAccount, alice: str) -> None:
    sim.account(kf_rules={"text": 50})
    sim.text(alice, "hi")
    barrier = threading.Barrier(8)

    def send(number: int) -> str:
        barrier.wait(10)
        return DRIVER.send(_parcel(alice, text=f"{number}"), {}).code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(8))) == {"0"}
    assert _fetches(sim) == 1
