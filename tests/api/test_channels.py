"""Channels through the API: their secrets, changes of settings, and the limit on their number."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import OperationalError, connection

from accounts.models import User
from kernel.clock import database_now
from kernel.errors import InvalidRequest
from notifications.channels.service import CHANNELS_LIMIT, create_channel
from notifications.channels.settings import settings_of
from notifications.drivers.webhook import new_secret
from notifications.models import Channel, Level
from tests.api.people import Person
from tests.factories import make_user

_URL = "https://hooks.example.com/x"


def _kept(channel_id: str) -> dict[str, object]:
    return settings_of(Channel.objects.get(pk=channel_id))


def test_a_generated_signing_secret_is_shown_once(alice: Person) -> None:
    made = alice("POST", "/channels", {"name": "hook", "driver": "webhook", "settings": {"url": _URL}}).body
    assert made["secrets"] == {"secret": _kept(made["id"])["secret"]}
    assert made["settings"] == {"url": _URL, "template": ""}
    secret = made["secrets"]["secret"]
    address = f"/channels/{made['id']}"
    later = [
        alice("GET", address).body,
        alice("GET", "/channels").body,
        alice("PATCH", address, {"settings": {"url": _URL + "/2"}}).body,
        alice("PATCH", address, {"name": "other"}).body,
    ]
    assert secret not in str(later)
    assert (later[2]["secrets"], later[3]["secrets"]) == ({}, {})
    # A secret that the owner chose, and a driver's key, are not shown.
    known = new_secret()
    settings = {"url": _URL, "secret": known}
    assert (
        alice("POST", "/channels", {"name": "known", "driver": "webhook", "settings": settings}).body["secrets"] == {}
    )
    key = {"key": "robot-00000001"}
    assert alice("POST", "/channels", {"name": "robot", "driver": "wecom_robot", "settings": key}).body["secrets"] == {}


def test_a_change_of_settings_keeps_the_others(alice: Person) -> None:
    secret, old = new_secret(), new_secret()
    settings = {"url": _URL, "secret": secret, "old_secret": old, "template": '{"content": "{{text}}"}'}
    channel = alice("POST", "/channels", {"name": "hook", "driver": "webhook", "settings": settings}).body
    address = f"/channels/{channel['id']}"
    changed = alice("PATCH", address, {"settings": {"url": _URL + "/2"}}).body
    assert _kept(channel["id"]) == {**settings, "url": _URL + "/2"}
    assert changed["settings"] == {"url": _URL + "/2", "template": settings["template"]}
    alice("PATCH", address, {"settings": {"old_secret": None, "template": None}})
    assert _kept(channel["id"]) == {"url": _URL + "/2", "secret": secret, "old_secret": "", "template": ""}
    # A webhook needs a secret: a removed one is replaced, and the new one is shown.
    anew = alice("PATCH", address, {"settings": {"secret": None}}).body["secrets"]["secret"]
    assert anew == _kept(channel["id"])["secret"] != secret
    refused = alice("PATCH", address, {"settings": {"url": None}})
    assert (refused.status, refused.body["error"]) == (400, "InvalidRequest")
    assert _kept(channel["id"])["url"] == _URL + "/2"


@pytest.mark.django_db(transaction=True)
def test_eight_racing_creates_do_not_exceed_the_channel_limit() -> None:
    owner, together, now = make_user(), Barrier(8), database_now()
    left = 3
    rows = [
        Channel(owner=owner, name=f"{number}", driver="webhook", created_at=now, changed_at=now)
        for number in range(CHANNELS_LIMIT - left)
    ]
    Channel.objects.bulk_create(rows)

    def make(number: int) -> bool:
        together.wait(30)
        try:
            while True:
                try:
                    create_channel(
                        owner_id=owner.pk, name=f"hook {number}", driver="webhook", settings={"url": _URL},
                        levels=Level.values, actor="test",
                    )  # fmt: skip
                except OperationalError:
                    continue  # a lock timeout or a deadlock: rolled back
                except InvalidRequest:
                    return False
                return True
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(make, range(8))) == left
    assert User.objects.get(pk=owner.pk).channels.count() == CHANNELS_LIMIT
