"""The key that seals can be changed: `manage.py reseal` seals everything again, and then the old key can go."""

from __future__ import annotations

import io
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from kernel.sealing import Unsealable, unseal
from letserver.management.commands.reseal import sealed_columns
from notifications.channels.service import create_channel
from notifications.channels.settings import settings_of
from notifications.models import Channel, Level
from tests.factories import make_user

pytestmark = pytest.mark.django_db

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def _channel() -> Channel:
    return create_channel(
        owner_id=make_user().pk,
        name="robot",
        driver="wecom_robot",
        settings={"key": "robot-0001"},
        levels=Level.values,
        actor="test",
    )


def _reseal(*options: str) -> str:
    out = io.StringIO()
    call_command("reseal", *options, stdout=out)
    return out.getvalue()


def test_after_resealing_the_old_key_can_go(settings: Any) -> None:
    settings.SEALING_KEYS = [OLD]
    channel = _channel()
    assert "robot-0001" not in channel.sealed
    settings.SEALING_KEYS = [NEW, OLD]
    assert "1 " in _reseal()
    settings.SEALING_KEYS = [NEW]
    channel.refresh_from_db()
    assert settings_of(channel)["key"] == "robot-0001"
    settings.SEALING_KEYS = [OLD]
    with pytest.raises(Unsealable):
        unseal(channel.sealed)


def test_derived_key_can_be_put_behind_the_first_one_that_is_set(settings: Any) -> None:
    settings.SEALING_KEYS = []
    channel = _channel()
    settings.SEALING_KEYS = [NEW, _reseal("--show-derived-key").strip()]
    assert settings_of(channel)["key"] == "robot-0001"


def test_what_opens_with_none_of_the_keys_is_left_alone_and_counted(settings: Any) -> None:
    settings.SEALING_KEYS = [OLD]
    channel = _channel()
    before = channel.sealed
    settings.SEALING_KEYS = [NEW]
    with pytest.raises(CommandError, match="1 "):
        _reseal()
    channel.refresh_from_db()
    assert channel.sealed == before


def test_every_sealed_column_is_found_by_its_name() -> None:
    found = {f"{model.__name__}.{column}" for model, column in sealed_columns()}
    assert {"UserToken.sealed", "Channel.sealed"} <= found
