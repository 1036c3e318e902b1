"""The words of an action: agent and command beside the label, on every way to a person, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.utils import translation

from accounts.services.identities import set_language
from kernel.clock import database_now
from notifications.channels.service import create_channel
from notifications.deliveries.claimed import Claimed
from notifications.deliveries.sending import send_message
from notifications.drivers.base import Receipt
from notifications.drivers.parcel import Parcel
from notifications.drivers.registry import driver_of
from notifications.messages.accept import accept_messages
from notifications.messages.actions import action_words
from notifications.messages.new_message import ActionRequest, NewMessage
from notifications.models import Level, Message, MessageAction
from tests.factories import make_user

# The words are made of rows that were read already.
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only]


def test_a_driver_gets_agent_and_command_in_the_language_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    parcels: list[Parcel] = []

    def send(parcel: Parcel, settings: Mapping[str, Any]) -> Receipt:
        parcels.append(parcel)
        return Receipt()

    user = make_user()
    channel = create_channel(
        owner_id=user.pk,
        name="hook",
        driver="webhook",
        settings={"url": "https://hooks.example/x"},
        levels=Level.values,
        actor="test",
    )
    monkeypatch.setattr(driver_of(channel.driver), "send", send)
    action = ActionRequest(label="show disk usage", agent="nas", text="reboot now")
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="x", actions=(action,))])
    assert isinstance(message, Message)
    for language, line in (
        ("en", "1. show disk usage (runs on nas: reboot now)"),
        ("zh-hans", "1. show disk usage（在 nas 上执行：reboot now）"),
    ):
        set_language(user=user, language=language)
        told = Message.objects.get(pk=message.pk)
        send_message(Claimed(delivery=told.deliveries.get(), message=told, channel=channel))
        assert line in parcels.pop().lines().splitlines()


def test_a_long_command_tells_its_length() -> None:
    action = MessageAction(label="x", agent="nas", text="df " + "x" * 1000, expires_at=database_now())
    with translation.override("en"):
        assert action_words(action).endswith("… (1003 characters))")


def test_a_label_cannot_mention_people_or_hide_characters() -> None:
    parcel = Parcel(delivery_id="1", title="", text="x", at=database_now(), actions=((1, "<!channel> @all"),))
    assert "<!" not in parcel.answers()
    assert "@all" not in parcel.answers()
    action = MessageAction(label="safe\u202e", agent="nas", text="a\nb\u200b", expires_at=database_now())
    assert not {"\u202e", "\n", "\u200b"} & set(action_words(action))
