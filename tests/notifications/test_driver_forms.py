"""Forms take what a service shows, whole addresses included, and refuse the rest at once."""

from __future__ import annotations

from typing import Any

import pytest

from notifications.drivers.registry import all_drivers, driver_of

pytestmark = pytest.mark.sqlite_only

KEY = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"


@pytest.mark.parametrize(
    ("name", "typed", "kept"),
    [
        ("wecom_robot", {"key": f" https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={KEY} "}, {"key": KEY}),
        ("wecom_robot", {"key": KEY}, {"key": KEY}),
        ("feishu", {"key": f"https://open.feishu.cn/open-apis/bot/v2/hook/{KEY}/"}, {"key": KEY}),
        ("dingtalk", {"token": "https://oapi.dingtalk.com/robot/send?access_token=" + "a" * 64}, {"token": "a" * 64}),
        ("slack", {"webhook": "https://hooks.slack.com/services/T1/B1/abc"}, {"webhook": "T1/B1/abc"}),
        (
            "discord",
            {"webhook": "https://discord.com/api/v10/webhooks/123456/" + "t" * 60},
            {"webhook": "123456/" + "t" * 60},
        ),
        ("ntfy", {"server": "https://ntfy.sh/", "topic": "x"}, {"server": "https://ntfy.sh", "topic": "x"}),
        ("wxpusher", {"token": "AT_x", "to": "UID_abcdefgh , 12,"}, {"to": "UID_abcdefgh,12"}),
        ("webhook", {"url": "https://Example.com/x#y"}, {"url": "https://example.com/x", "template": ""}),
    ],
)
def test_what_a_service_shows_is_taken(name: str, typed: dict[str, str], kept: dict[str, str]) -> None:
    form = driver_of(name).form(typed)
    assert form.is_valid(), form.errors
    assert form.cleaned_data.items() >= kept.items()


@pytest.mark.parametrize(
    ("name", "typed", "field"),
    [
        ("wecom_robot", {"key": "https://example.com/?x=1"}, "key"),
        ("wecom_robot", {"key": "x&y=/../"}, "key"),
        ("feishu", {"key": "a b"}, "key"),
        ("dingtalk", {"token": "https://oapi.dingtalk.com/robot/send"}, "token"),
        ("slack", {"webhook": "https://evil.example/x"}, "webhook"),
        ("discord", {"webhook": "x/y"}, "webhook"),
        ("teams", {"webhook": "https://evil.example/"}, "webhook"),
        ("teams", {"webhook": "https://10.0.0.1/workflows/12345678/triggers/manual/paths/invoke?sig=x"}, "webhook"),
        ("bark", {"server": "https://169.254.169.254", "key": "x"}, "server"),
        ("ntfy", {"server": "http://ntfy.sh", "topic": "x"}, "server"),
        ("ntfy", {"server": "https://ntfy.sh", "topic": "../x"}, "topic"),
        ("gotify", {"server": "file:///etc/passwd", "token": "x"}, "server"),
        ("serverchan", {"key": "SCT1/../x"}, "key"),
        ("wxpusher", {"token": "x", "to": "bob"}, "to"),
        ("telegram", {"token": "1/../x", "chat": "1"}, "token"),
        ("telegram", {"token": "123:abcdefghijk", "chat": "me"}, "chat"),
        ("webhook", {"url": "https://localhost:22/"}, "url"),
        ("webhook", {"url": "disable"}, "url"),
        ("webhook", {"url": "https://example.com", "secret": "short"}, "secret"),
        ("webhook", {"url": "https://example.com", "secret": "whsec_eHg="}, "secret"),
        ("webhook", {"url": "https://example.com", "template": "{{text}}"}, "template"),
        ("webhook", {"url": "https://example.com", "template": '{"a": "{{secret}}"}'}, "template"),
    ],
)
def test_what_would_not_do_is_refused_where_it_is_typed(name: str, typed: dict[str, Any], field: str) -> None:
    form = driver_of(name).form(typed)
    assert field in form.errors


def test_webhook_without_a_secret_gets_one_that_libraries_take() -> None:
    forms = [driver_of("webhook").form({"url": "https://example.com"}) for _ in range(2)]
    assert all(form.is_valid() for form in forms)
    first, second = (form.cleaned_data["secret"] for form in forms)
    assert first.startswith("whsec_")
    assert first != second


def test_keys_are_never_shown_again() -> None:
    secrets = {name: driver.secret_fields() for name, driver in all_drivers().items()}
    assert secrets["wecom_robot"] == {"key"}
    assert secrets["webhook"] == {"secret", "old_secret"}
    for name, driver in all_drivers().items():
        assert secrets[name] or driver.personal or name == "email", name
        form = driver.form(dict.fromkeys(driver.form.base_fields, "KEEP-THIS-TO-YOURSELF"))
        for field in secrets[name]:
            assert "KEEP-THIS" not in str(form[field]), (name, field)
