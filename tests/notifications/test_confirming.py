"""Only the confirmation mail goes to a mailbox before its reader has confirmed it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.models import AuditEntry, User
from accounts.services.tokens import mint_user_token
from kernel.clock import database_now
from kernel.errors import AppError, InvalidRequest, LimitExceeded, NoChannel, NotFound
from notifications.channels.confirming import ASKED_A_DAY, ask_again, confirm_channel
from notifications.channels.service import ChannelChange, create_channel, update_channel
from notifications.channels.settings import settings_of
from notifications.deliveries.sending import deliver
from notifications.deliveries.upkeep import forget_old_deliveries
from notifications.messages.accept import accept_messages
from notifications.messages.links import confirmation_url
from notifications.messages.new_message import NewMessage
from notifications.models import Channel, Delivery, Message, PaceMeter
from tests.factories import agreed, make_user

pytestmark = pytest.mark.django_db

_LINK = re.compile(r"http://\S+/c/(\S+)")


@pytest.fixture(autouse=True)
def _mail_server(settings: Any) -> Iterator[None]:
    """There is one, and the people here read English."""
    settings.EMAIL_URL, settings.LANGUAGE_CODE, settings.MERGE_SECONDS = "smtp://x", "en", 0
    yield
    mail.outbox.clear()


@pytest.fixture
def alice() -> User:
    """She has entered a mailbox."""
    return make_user("alice")


def _mailbox(owner: User, to: str = "me@example.com", name: str = "mail") -> Channel:
    return create_channel(
        owner_id=owner.pk, name=name, driver="email", settings={"to": to}, levels=["info"], actor="test"
    )


def _deliver_all() -> None:
    # Handed on, a message is a new row.
    while rows := list(Delivery.objects.filter(state="pending").order_by("pk").values_list("pk", flat=True)):
        for row in rows:
            deliver(row)


def _send(owner: User, **more: Any) -> Message | AppError:
    (outcome,) = accept_messages([NewMessage(owner_id=owner.pk, text="hello", must_reach=True, **more)])
    return outcome


def _token() -> str:
    found = _LINK.search(str(mail.outbox[-1].body))
    assert found is not None
    return found[1]


def _let_time_pass() -> None:
    """The minute between two questions to one mailbox is over."""
    PaceMeter.objects.all().delete()


def test_only_the_question_goes_until_its_reader_says_yes(alice: User) -> None:
    channel = _mailbox(alice)
    assert isinstance(_send(alice), NoChannel)
    named = _send(alice, channels=("mail",))
    assert isinstance(named, Message)
    _deliver_all()
    (asked,) = mail.outbox
    assert (asked.to, "alice" in str(asked.body), "hello" in str(asked.body)) == (["me@example.com"], True, False)
    refused = named.deliveries.get()
    assert (refused.state, refused.provider_code) == ("dead", "unconfirmed")
    address = f"/c/{_token()}"
    page = Client().get(address)
    assert (page.status_code, "Yes, send messages here" in page.content.decode()) == (200, True)
    # Programs that look into mail follow links.
    assert Client().head(address).status_code == 200
    channel.refresh_from_db()
    assert channel.confirmed_at is None
    said = Client().post(address).content.decode()
    assert "This mailbox is confirmed" in said
    assert f"/console/channels/{channel.pk}" not in said
    assert Client().post(address).status_code == Client().get(address).status_code == 200
    assert AuditEntry.objects.filter(action="channel.confirm", subject=f"user:{alice.pk}").count() == 1
    assert isinstance(_send(alice), Message)
    _deliver_all()
    assert [one.subject for one in mail.outbox[1:]] == ["hello"]


def test_a_message_goes_on_to_the_next_channel(alice: User) -> None:
    _mailbox(alice, "asked@example.com", "asked")
    agreed(_mailbox(alice, "agreed@example.com", "agreed"))
    for fields in ({}, {"channels": ("asked",), "fallback": ("agreed",)}):
        assert isinstance(_send(alice, **fields), Message)
    _deliver_all()
    assert [one.to for one in mail.outbox if one.subject == "hello"] == [["agreed@example.com"]] * 2


def test_another_address_is_asked_anew_and_gets_nothing_that_waited(alice: User) -> None:
    channel = _mailbox(alice)
    _deliver_all()
    old = _token()
    confirm_channel(old)
    assert isinstance(_send(alice), Message)
    update_channel(channel=channel, change=ChannelChange(settings={"to": "me@example.com"}), actor="test")
    channel.refresh_from_db()
    assert channel.confirmed_at is not None
    changed = update_channel(channel=channel, change=ChannelChange(settings={"to": "you@example.com"}), actor="test")
    assert changed.confirmed_at is None
    _deliver_all()
    assert [(one.to, one.subject) for one in mail.outbox[1:]] == [
        (["you@example.com"], "Do you want messages in this mailbox?")
    ]
    with pytest.raises(NotFound):
        confirm_channel(old)
    assert confirm_channel(_token()).confirmed_at is not None
    assert settings_of(Channel.objects.get()) == {"to": "you@example.com"}


def test_a_mailbox_is_asked_once_a_minute_whoever_wants_it_and_a_person_asks_so_many(alice: User) -> None:
    channel = _mailbox(alice)
    with pytest.raises(LimitExceeded, match=r"again in \d+ seconds") as refused:
        ask_again(channel=channel)
    assert 50 < (refused.value.retry_after_seconds or 0) <= 60
    with pytest.raises(LimitExceeded):
        _mailbox(make_user(), "ME@example.com")
    assert (Channel.objects.count(), Delivery.objects.count()) == (1, 1)
    for _time in range(4):
        PaceMeter.objects.update(times=[at - 61 for at in PaceMeter.objects.get().times])
        ask_again(channel=channel)
    PaceMeter.objects.update(times=[at - 61 for at in PaceMeter.objects.get().times])
    with pytest.raises(LimitExceeded) as refused:
        ask_again(channel=channel)
    assert (refused.value.retry_after_seconds or 0) > 80_000
    for number in range(ASKED_A_DAY - 5):
        _mailbox(alice, f"{number}@example.com", f"{number}")
    with pytest.raises(LimitExceeded, match="20 confirmation mails sent a day"):
        _mailbox(alice, "another@example.com", "another")


def test_a_link_is_made_by_nobody_else_and_does_not_last(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = _mailbox(alice)
    token = confirmation_url(channel.pk, "me@example.com").rpartition("/")[2]
    other = confirmation_url(channel.pk, "you@example.com").rpartition("/")[2]
    for wrong in (other, token[:-1], token.replace(channel.pk, make_user().pk), "x"):
        for response in (Client().get(f"/c/{wrong}"), Client().post(f"/c/{wrong}")):
            assert response.status_code == 404
            assert "This link is no longer valid" in response.content.decode()
    monkeypatch.setattr("notifications.messages.links.CONFIRMATION_LIFE", dt.timedelta(seconds=-1))
    assert Client().post(f"/c/{token}").status_code == 404
    channel.refresh_from_db()
    assert channel.confirmed_at is None


def test_the_owner_sees_that_nobody_agreed_and_never_the_link(alice: User, client: Client) -> None:
    channel = _mailbox(alice)
    _deliver_all()
    token = _token()
    client.force_login(alice)
    headers = {"Authorization": f"Bearer {mint_user_token(user=alice, scope='full', actor='test')}"}
    page = client.get(f"/console/channels/{channel.pk}").content.decode()
    assert "Send the mail again" in page
    assert "Send a test" not in page
    said = [
        page,
        client.get("/console/channels").content.decode(),
        client.get("/console/messages/send").content.decode(),
    ]
    assert "not confirmed" in said[1]
    assert f'value="{channel.pk}"' not in said[2]
    for path in ("/channels", f"/channels/{channel.pk}", "/deliveries", "/messages", "/stream"):
        said.append(client.get(path, headers=headers).content.decode())
    assert token not in "".join(said)
    assert client.get(f"/channels/{channel.pk}", headers=headers).json()["verified"] is False
    again = client.post(f"/channels/{channel.pk}/confirmation", headers=headers, content_type="application/json")
    assert (again.status_code, again.json()["error"]) == (429, "LimitExceeded")
    _let_time_pass()
    assert client.post(f"/console/channels/{channel.pk}/confirmation").status_code == 302
    _deliver_all()
    assert len(mail.outbox) == 2
    confirm_channel(_token())
    # A second request by mistake sends no mail, because the mailbox is confirmed.
    assert (
        client.post(f"/channels/{channel.pk}/confirmation", headers=headers, content_type="application/json").json()[
            "verified"
        ]
        is True
    )
    assert Delivery.objects.count() == 2
    page = client.get(f"/console/channels/{channel.pk}").content.decode()
    assert "Send a test" in page
    assert "not confirmed" not in page


def test_the_page_tells_why_the_mail_did_not_go(alice: User, client: Client, settings: Any) -> None:
    settings.EMAIL_URL = ""
    channel = _mailbox(alice)
    _deliver_all()
    client.force_login(alice)
    assert "this server has no mail server" in client.get(f"/console/channels/{channel.pk}").content.decode()
    update_channel(channel=channel, change=ChannelChange(enabled=False), actor="test")
    with pytest.raises(InvalidRequest):
        ask_again(channel=channel)


def test_questions_are_forgotten_after_a_month(alice: User) -> None:
    _mailbox(alice)
    _deliver_all()
    agreed(_mailbox(alice, "agreed@example.com", "agreed"))
    _send(alice)
    _deliver_all()
    now = database_now()
    assert forget_old_deliveries(now=now + dt.timedelta(days=29)) == 0
    assert forget_old_deliveries(now=now + dt.timedelta(days=31)) == 1
    assert Delivery.objects.get().message is not None


def test_mailboxes_in_use_stay_as_they_are(alice: User) -> None:
    from importlib import import_module

    from django.apps import apps

    _mailbox(alice)
    import_module("notifications.migrations.0006_mailboxes_in_use_are_confirmed").confirm_mailboxes(apps, None)
    assert isinstance(_send(alice), Message)
