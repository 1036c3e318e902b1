"""Channels at the console: add, look, change, order, try, switch, remove; keys are never shown again."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.test import Client

from accounts.models import User
from kernel.clock import database_now
from notifications.channels.service import create_channel
from notifications.channels.settings import settings_of
from notifications.channels.trial import try_channel
from notifications.console.forms import settings_form
from notifications.deliveries.claim import claim_next
from notifications.deliveries.finish import finish_delivery
from notifications.deliveries.switching import switch_off
from notifications.drivers.base import ChannelError, Fault
from notifications.drivers.registry import all_drivers, driver_of
from notifications.models import Channel, ChatCredit, Delivery, Level, Message, PaceMeter
from notifications.quota.chat_credit import open_credit
from tests.console.pages import assert_sound, text_of
from tests.factories import agreed

pytestmark = pytest.mark.django_db

KEY = "abcdef12-key-of-the-robot"
ROBOT = {"settings-key": KEY, "settings-mention": "@all", "name": "ops", "levels": ["info", "error"]}
SAMPLES: dict[str, dict[str, str]] = {
    "slack": {"webhook": "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"},
    "discord": {"webhook": "https://discord.com/api/webhooks/123456789012345678/" + "x" * 68},
    "teams": {"webhook": "https://p.example.com/workflows/0123456789abcdef0123456789abcdef/triggers/manual/paths/invoke?sig=x"},
    "feishu": {"key": "https://open.feishu.cn/open-apis/bot/v2/hook/0123-4567-89ab", "secret": "s"},
    "dingtalk": {"token": "https://oapi.dingtalk.com/robot/send?access_token=0123456789abcdef", "secret": "SECx"},
    "wecom_robot": {"key": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=0123-4567-89ab"},
}  # fmt: skip


def _channel(user: User, name: str, driver: str = "email", **more: object) -> Channel:
    values = {"settings": {"to": f"{name}@example.com"}, "levels": Level.values, "actor": "test"} | more
    return agreed(create_channel(owner_id=user.pk, name=name, driver=driver, **values))  # type: ignore[arg-type]


def _personal(user: User) -> Channel:
    now = database_now()
    return Channel.objects.create(
        owner=user, name="WeChat", driver="wechat", account="wx", address="openid-1", levels=Level.values,
        created_at=now, changed_at=now,
    )  # fmt: skip


def test_without_channels_the_page_says_what_they_are_for(at_alice: Client) -> None:
    page = text_of(at_alice.get("/console/channels"))
    assert "No channel yet" in page
    assert "What the services still take" not in page


def test_every_service_that_a_person_can_add_has_its_form(at_alice: Client) -> None:
    chooser = text_of(at_alice.get("/console/channels/add"))
    for driver in all_drivers().values():
        assert (f"?driver={driver.name}" in chooser) == (not driver.personal)
        if not driver.personal:
            response = at_alice.get(f"/console/channels/add?driver={driver.name}")
            assert_sound(response)
            for name, field in driver.form.base_fields.items():
                assert f'name="settings-{name}"' in text_of(response)
                assert str(field.help_text).split('"')[0] in text_of(response)
    assert "By which service" in text_of(at_alice.get("/console/channels/add?driver=wechat"))
    assert "By which service" in text_of(at_alice.post("/console/channels/add?driver=none", ROBOT))


def test_a_channel_is_added_and_its_key_shown_to_nobody(alice: User, at_alice: Client) -> None:
    response = at_alice.post("/console/channels/add?driver=wecom_robot", ROBOT, follow=True)
    channel = Channel.objects.get()
    assert response.redirect_chain[-1][0] == f"/console/channels/{channel.pk}"
    assert (channel.name, channel.levels) == ("ops", ["info", "error"])
    assert settings_of(channel) == {"key": KEY, "mention": "@all"}
    for path in (f"/console/channels/{channel.pk}", "/console/channels"):
        assert KEY not in text_of(at_alice.get(path))
    assert KEY not in text_of(response)
    assert 'value="@all"' in text_of(response)


@pytest.mark.parametrize("change", [{"settings-key": "?"}, {"name": " "}, {"levels": ["loud"]}, {"name": "taken"}])
def test_what_is_wrong_stands_at_the_form_and_the_key_does_not(
    change: dict[str, object], alice: User, at_alice: Client
) -> None:
    _channel(alice, "taken")
    response = at_alice.post("/console/channels/add?driver=wecom_robot", ROBOT | change)
    assert response.status_code == 400
    assert 'class="errors"' in text_of(response) or 'role="alert"' in text_of(response)
    assert KEY not in text_of(response)
    assert Channel.objects.count() == 1


def test_an_empty_secret_stays_a_new_one_replaces_it(alice: User, at_alice: Client) -> None:
    at_alice.post("/console/channels/add?driver=wecom_robot", ROBOT)
    channel = Channel.objects.get()
    change = ROBOT | {"settings-key": "", "settings-mention": "lin", "name": "ops 2", "levels": []}
    assert at_alice.post(f"/console/channels/{channel.pk}", change).status_code == 302
    channel.refresh_from_db()
    assert (channel.name, channel.levels) == ("ops 2", [])
    assert settings_of(channel) == {"key": KEY, "mention": "lin"}
    at_alice.post(f"/console/channels/{channel.pk}", ROBOT | {"settings-key": "another-key"})
    channel.refresh_from_db()
    assert settings_of(channel)["key"] == "another-key"


def test_a_secret_that_may_be_missing_is_forgotten_by_a_tick(alice: User, at_alice: Client) -> None:
    channel = _channel(alice, "f", "feishu", settings={"key": "0123-4567-89ab", "secret": "sign"})
    values = {"name": "f", "settings-key": "", "settings-secret": ""}
    at_alice.post(f"/console/channels/{channel.pk}", values)
    channel.refresh_from_db()
    assert settings_of(channel)["secret"] == "sign"
    page = text_of(at_alice.get(f"/console/channels/{channel.pk}"))
    assert "settings-forget_secret" in page
    assert "settings-forget_key" not in page
    at_alice.post(f"/console/channels/{channel.pk}", values | {"settings-forget_secret": "on"})
    channel.refresh_from_db()
    assert settings_of(channel) == {"key": "0123-4567-89ab", "secret": ""}


@pytest.mark.parametrize("driver", sorted(SAMPLES))
def test_what_a_form_has_read_it_reads_again(driver: str, settings: pytest.FixtureRequest) -> None:
    """An empty secret is filled with the kept one, which the service's form must take as it left it."""
    first = driver_of(driver).form(SAMPLES[driver])
    assert first.is_valid(), first.errors
    again = driver_of(driver).form(first.cleaned_data)
    assert again.is_valid(), again.errors
    assert again.cleaned_data == first.cleaned_data


def test_a_signing_secret_that_was_made_is_shown_once(alice: User, at_alice: Client) -> None:
    values = {"settings-url": "https://hooks.example.com/x", "name": "hook", "levels": ["info"]}
    page = text_of(at_alice.post("/console/channels/add?driver=webhook", values, follow=True))
    channel = Channel.objects.get()
    made = str(settings_of(channel)["secret"])
    assert made.startswith("whsec_")
    assert made in page
    assert made not in text_of(at_alice.get(f"/console/channels/{channel.pk}"))
    assert made not in text_of(at_alice.post(f"/console/channels/{channel.pk}", values, follow=True))


def test_quiet_hours_are_two_times_or_none(alice: User, at_alice: Client) -> None:
    channel = _channel(alice, "mail")
    values = {"name": "mail", "settings-to": "a@example.com", "quiet_from": "22:30", "quiet_until": ""}
    response = at_alice.post(f"/console/channels/{channel.pk}", values)
    assert response.status_code == 400
    assert "Fill in both times" in text_of(response)
    at_alice.post(f"/console/channels/{channel.pk}", values | {"quiet_until": "07:00"})
    channel.refresh_from_db()
    assert (channel.quiet_from, channel.quiet_until) == (dt.time(22, 30), dt.time(7))
    assert "22:30–07:00" in text_of(at_alice.get("/console/channels"))
    at_alice.post(f"/console/channels/{channel.pk}", values | {"quiet_from": ""})
    channel.refresh_from_db()
    assert channel.quiet_from is None


def test_channels_change_places(alice: User, at_alice: Client) -> None:
    first, second, third = (_channel(alice, name) for name in ("a", "b", "c"))
    # As the API may leave them: two at one place.
    Channel.objects.filter(pk=second.pk).update(position=third.position)

    def order() -> str:
        return "".join(Channel.objects.in_order().values_list("name", flat=True))

    for channel, to, expected in (
        (third, "up", "acb"),
        (first, "up", "acb"),
        (first, "down", "cab"),
        (second, "down", "cab"),
    ):
        assert at_alice.post(f"/console/channels/{channel.pk}/move", {"to": to}).status_code == 302
        assert order() == expected


def test_a_test_leads_to_its_message_every_time(alice: User, at_alice: Client) -> None:
    channel = _channel(alice, "mail")
    places = {at_alice.post(f"/console/channels/{channel.pk}/test").headers["Location"] for _ in range(2)}
    assert places == {f"/console/messages/{pk}" for pk in Message.objects.values_list("pk", flat=True)}
    assert len(places) == 2
    assert set(Delivery.objects.values_list("channel", "state")) == {(channel.pk, "pending")}


def test_a_test_without_room_says_so(alice: User, at_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifications.deliveries.rows.BACKLOG_LIMIT", 0)
    channel = _channel(alice, "mail")
    page = at_alice.post(f"/console/channels/{channel.pk}/test", follow=True)
    assert "The limit is reached" in text_of(page)
    assert not Message.objects.exists()


def test_off_by_its_owner_and_on_again(alice: User, at_alice: Client) -> None:
    channel = _channel(alice, "mail")
    page = text_of(at_alice.post(f"/console/channels/{channel.pk}/switch", {"to": "off"}, follow=True))
    assert "you switched it off" in page
    assert "Send a test" not in page
    assert "switched off" not in text_of(at_alice.get("/console/"))
    page = text_of(at_alice.post(f"/console/channels/{channel.pk}/switch", {"to": "on"}, follow=True))
    assert "mail is switched on" in page
    assert "Send a test" in page


def test_off_by_its_service_is_explained_and_stands_on_the_overview(alice: User, at_alice: Client) -> None:
    channel = _channel(alice, "bot", "telegram", settings={"token": "123456:ABCDEFGHIJKLMNOP", "chat": "42"})
    switch_off(channel, reason="403", now=database_now())
    for path in ("/console/channels", f"/console/channels/{channel.pk}"):
        page = text_of(at_alice.get(path))
        assert "the person has blocked the bot" in page
        assert "<code>403</code>" in page
    assert "1 of your channels is switched off." in text_of(at_alice.get("/console/"))


def test_a_channel_that_came_with_an_account_has_nothing_to_fill_in(alice: User, at_alice: Client) -> None:
    channel = _personal(alice)
    page = text_of(at_alice.get(f"/console/channels/{channel.pk}"))
    assert "came with your account there" in page
    assert "openid-1" not in page
    at_alice.post(f"/console/channels/{channel.pk}", {"name": "微信", "levels": ["error"]})
    channel.refresh_from_db()
    assert (channel.name, channel.levels, channel.address) == ("微信", ["error"], "openid-1")
    assert "comes back when you write" in text_of(at_alice.get(f"/console/channels/{channel.pk}/delete"))


def test_the_limits_stand_there_as_numbers(alice: User, at_alice: Client, settings: pytest.FixtureRequest) -> None:
    _personal(alice)
    now = database_now()
    open_credit(owner_id=alice.pk, account="wx", address="openid-1", now=now)
    ChatCredit.objects.update(used=7)
    robot = _channel(alice, "ops", "wecom_robot", settings={"key": KEY})
    key = driver_of("wecom_robot").meter(settings_of(robot), None)
    PaceMeter.objects.create(key=key, times=[now.timestamp() - seconds for seconds in (70, *range(20, 0, -1))])
    page = " ".join(re.sub(r"<[^>]+>", " ", text_of(at_alice.get("/console/channels"))).split())
    assert "WeChat template messages of the day 0 / 100" in page
    assert "WeChat texts until you write again 7 / 20 when you write there" in page
    assert re.search(r"ops 20 / 20 \d\d", page)


def test_a_channel_is_removed_after_a_question(alice: User, at_alice: Client) -> None:
    channel = _channel(alice, "mail")
    message = try_channel(channel)
    assert "Remove mail?" in text_of(at_alice.get(f"/console/channels/{channel.pk}/delete"))
    assert Channel.objects.exists()
    page = text_of(at_alice.post(f"/console/channels/{channel.pk}/delete", follow=True))
    assert "The channel mail is removed." in page
    assert "a channel that was removed" in text_of(at_alice.get(f"/console/messages/{message.pk}"))


def test_how_much_waits_is_counted(alice: User, at_alice: Client) -> None:
    channel = _channel(alice, "mail")
    for _ in range(3):
        message = try_channel(channel)
    claimed = claim_next(message.deliveries.get().pk)
    assert claimed is not None
    finish_delivery(claimed, ChannelError(Fault.PERMANENT, "smtp 554"))
    assert '<td data-label="Waiting" class="nowrap">2</td>' in text_of(at_alice.get("/console/channels"))


def test_settings_that_cannot_be_unsealed_are_asked_for_again(alice: User, at_alice: Client) -> None:
    channel = _channel(alice, "ops", "wecom_robot", settings={"key": KEY})
    Channel.objects.update(sealed="broken")
    channel.refresh_from_db()
    form = settings_form(driver_of("wecom_robot"), None, kept=settings_of(channel))
    assert form.fields["key"].required
    assert at_alice.post(f"/console/channels/{channel.pk}", ROBOT | {"settings-key": ""}).status_code == 400
    assert at_alice.post(f"/console/channels/{channel.pk}", ROBOT).status_code == 302
