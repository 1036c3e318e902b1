"""Messages at the console: send, list, one with its deliveries, take back, try again; the page behind a link."""

from __future__ import annotations

import datetime as dt
import html
import re

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from kernel.clock import database_now
from kernel.ids import new_id
from kernel.visible import visible_text
from notifications.channels.service import create_channel
from notifications.console.messages import PAGE_SIZE
from notifications.deliveries.claim import claim_next
from notifications.deliveries.finish import finish_delivery
from notifications.deliveries.switching import switch_off
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.messages.accept import accept_messages
from notifications.messages.links import detail_path
from notifications.messages.new_message import ActionRequest, NewMessage
from notifications.models import Channel, Delivery, Level, Message
from tests.console.hostile import CORPUS, HIDDEN
from tests.console.pages import assert_sound, text_of
from tests.factories import agreed

pytestmark = pytest.mark.django_db


@pytest.fixture
def mail(alice: User) -> Channel:
    """Alice's mailbox, for every level."""
    return _mail(alice, "mail")


def _mail(user: User, name: str, levels: list[str] | None = None) -> Channel:
    channel = create_channel(
        owner_id=user.pk, name=name, driver="email", settings={"to": f"{name}@example.com"},
        levels=Level.values if levels is None else levels, actor="test",
    )  # fmt: skip
    return agreed(channel)


def _message(user: User, text: str = "hello", **more: object) -> Message:
    new_message = NewMessage(owner_id=user.pk, text=text, idempotency_key=new_id(), **more)  # type: ignore[arg-type]
    (message,) = accept_messages([new_message])
    assert isinstance(message, Message), message
    return message


def _tried(message: Message, outcome: Receipt | ChannelError) -> None:
    for delivery in list(message.deliveries.filter(state="pending")):
        claimed = claim_next(delivery.pk)
        assert claimed is not None
        finish_delivery(claimed, outcome)


def _page(client: Client, message: Message) -> str:
    response = client.get(f"/console/messages/{message.pk}")
    assert response.status_code == 200
    assert_sound(response)
    return " ".join(re.sub(r"<[^>]+>", " ", text_of(response)).split())


def _values(**more: object) -> dict[str, object]:
    return {"text": "a\r\nb", "title": "", "level": "info", "key": new_id()} | more


def test_without_a_channel_the_pages_lead_to_one(at_alice: Client) -> None:
    for path in ("/console/messages", "/console/messages/send"):
        assert "/console/channels/add" in text_of(at_alice.get(path))


def test_a_message_is_sent_and_has_its_page(mail: Channel, at_alice: Client) -> None:
    assert "No message yet" in text_of(at_alice.get("/console/messages"))
    response = at_alice.post("/console/messages/send", _values(title="T", level="error", channels=[mail.pk]))
    message = Message.objects.get()
    assert response.headers["Location"] == f"/console/messages/{message.pk}"
    assert (message.text, message.title, message.level, message.source) == ("a\nb", "T", "error", "console")
    assert message.deliveries.get().channel == mail


def test_a_form_sent_twice_is_one_message_and_with_another_text_a_question(mail: Channel, at_alice: Client) -> None:
    values = _values()
    places = {at_alice.post("/console/messages/send", values).headers["Location"] for _ in range(2)}
    assert len(places) == Message.objects.count() == 1
    response = at_alice.post("/console/messages/send", values | {"text": "c", "channels": [mail.pk]})
    assert response.status_code == 400
    assert "sent before with another text" in text_of(response)
    assert "checked" in text_of(response)
    key = re.search(r'name="key" value="([^"]+)"', text_of(response))
    assert key is not None
    assert at_alice.post("/console/messages/send", values | {"text": "c", "key": key[1]}).status_code == 302


@pytest.mark.parametrize("change", [{"text": " "}, {"level": "loud"}, {"channels": ["other"]}, {"text": "x" * 6001}])
def test_a_wrong_form_is_shown_again(change: dict[str, object], mail: Channel, at_alice: Client) -> None:
    response = at_alice.post("/console/messages/send", _values(**change))
    assert response.status_code == 400
    assert 'class="errors"' in text_of(response)
    assert not Message.objects.exists()


def test_a_level_that_no_channel_takes_is_said(alice: User, at_alice: Client) -> None:
    _mail(alice, "mail", ["error"])
    response = at_alice.post("/console/messages/send", _values())
    assert response.status_code == 400
    assert "There is no channel for this" in text_of(response)


def test_the_list_has_pages_and_a_filter(alice: User, mail: Channel, at_alice: Client) -> None:
    for number in range(PAGE_SIZE + 1):
        _message(alice, f"number {number:02d}.", level="warning" if number % 2 else "info")
    first = text_of(at_alice.get("/console/messages"))
    assert "number 30." in first
    assert "number 00." not in first
    older = re.search(r'href="\?before=([^"]+)"', first)
    assert older is not None
    second = text_of(at_alice.get(f"/console/messages?before={older[1]}"))
    assert "number 00." in second
    newer = re.search(r'href="\?after=([^"]+)"', second)
    assert newer is not None
    assert "number 30." in text_of(at_alice.get(f"/console/messages?after={newer[1]}"))
    warnings = text_of(at_alice.get("/console/messages?level=warning"))
    assert "number 29." in warnings
    assert "number 30." not in warnings
    assert "No message has this level" in text_of(at_alice.get("/console/messages?level=error"))


def test_the_page_follows_a_message_until_it_has_ended(alice: User, mail: Channel, at_alice: Client) -> None:
    message = _message(alice)
    assert "hx-trigger" in text_of(at_alice.get(f"/console/messages/{message.pk}"))
    _tried(message, Receipt())
    page = text_of(at_alice.get(f"/console/messages/{message.pk}"))
    assert "hx-trigger" not in page
    assert "Withdraw it" not in page
    assert "is-sent" in page


def test_what_a_service_said_is_explained_and_when_it_is_tried_again(
    alice: User, mail: Channel, at_alice: Client
) -> None:
    message = _message(alice)
    _tried(message, ChannelError(Fault.RETRY, "smtp 4xx"))
    page = _page(at_alice, message)
    assert "The mail server takes it later smtp 4xx" in page
    assert "Next try: " in page
    unknown = _message(alice, "other")
    _tried(unknown, ChannelError(Fault.PERMANENT, "smtp 599"))
    assert "The service refuses this message smtp 599" in _page(at_alice, unknown)


def test_a_message_that_was_handed_on_names_the_channel(alice: User, mail: Channel, at_alice: Client) -> None:
    _mail(alice, "second")
    message = _message(alice)
    _tried(message, ChannelError(Fault.PERMANENT, "no server"))
    page = _page(at_alice, message)
    assert "This server has no mail server no server second took over." in page
    assert "Try again" not in page


def test_nobody_to_reach_is_said(alice: User, at_alice: Client) -> None:
    message = _message(alice)
    assert "No channel took this message" in _page(at_alice, message)
    assert "reaches nobody" in text_of(at_alice.get("/console/messages"))


def test_what_waits_is_taken_back(alice: User, mail: Channel, at_alice: Client) -> None:
    message = _message(alice, not_before=database_now() + dt.timedelta(hours=1))
    assert "Not before" in _page(at_alice, message)
    answer = at_alice.post(f"/console/messages/{message.pk}/withdraw", follow=True)
    assert "Everything that had not been sent is withdrawn." in text_of(answer)
    assert message.deliveries.get().state == "withdrawn"
    sent = _message(alice, "other")
    _tried(sent, Receipt())
    answer = at_alice.post(f"/console/messages/{sent.pk}/withdraw", follow=True)
    assert "There is nothing left to withdraw." in text_of(answer)


def test_what_was_given_up_is_tried_again(alice: User, mail: Channel, at_alice: Client) -> None:
    message = _message(alice)
    _tried(message, ChannelError(Fault.PERMANENT, "smtp 554"))
    delivery = message.deliveries.get()
    assert f"/console/deliveries/{delivery.pk}/replay" in text_of(at_alice.get(f"/console/messages/{message.pk}"))
    answer = at_alice.post(f"/console/deliveries/{delivery.pk}/replay")
    assert answer.headers["Location"] == f"/console/messages/{message.pk}"
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries, delivery.provider_code) == ("pending", 0, "")
    answer = at_alice.post(f"/console/deliveries/{delivery.pk}/replay", follow=True)
    assert "This delivery was not given up, so it is not sent again." in text_of(answer)


def test_a_channel_that_is_off_is_not_tried_again(alice: User, mail: Channel, at_alice: Client) -> None:
    message = _message(alice)
    _tried(message, ChannelError(Fault.PERMANENT, "smtp 554"))
    switch_off(mail, reason="smtp 550", now=database_now())
    assert "Try again" not in _page(at_alice, message)


def test_a_callback_is_no_message_to_try_again_here(alice: User, at_alice: Client) -> None:
    now = database_now()
    row = Delivery.objects.create(
        owner=alice, kind="callback", subject="job:x", target="x", dedupe_key="x", payload={}, due_at=now,
        created_at=now, state="dead",
    )  # fmt: skip
    assert at_alice.post(f"/console/deliveries/{row.pk}/replay").status_code == 404


def _answers(alice: User) -> Message:
    actions = (
        ActionRequest(label="clean up", agent="nas", text="clean logs"),
        ActionRequest(label="reboot it", agent="nas", text="reboot"),
    )
    return _message(alice, "disk is full", actions=actions, title="Disk", url="https://example.com/d?a=1&b=2")


def test_answers_stand_on_the_page_and_those_that_are_over_say_so(
    alice: User, mail: Channel, at_alice: Client, at_nobody: Client
) -> None:
    message = _answers(alice)
    message.actions.filter(number=2).update(taken_at=database_now())
    page = _page(at_alice, message)
    assert "nas clean logs until" in page
    assert "nas reboot chosen" in page
    public = text_of(at_nobody.get(detail_path(message.pk)))
    # A label alone could lie, so the page also tells what an answer starts.
    assert "clean up (runs on nas: clean logs)" in public
    assert "reboot it" not in public


def test_the_page_behind_a_link_is_read_by_whoever_has_it(alice: User, mail: Channel, at_nobody: Client) -> None:
    message = _answers(alice)
    response: HttpResponse = at_nobody.get(detail_path(message.pk))
    assert response.status_code == 200
    page = text_of(response)
    assert "disk is full" in page
    assert 'href="https://example.com/d?a=1&amp;b=2" rel="noopener noreferrer nofollow"' in page
    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["X-Robots-Tag"] == "noindex"
    assert "alice" not in page
    assert at_nobody.post(detail_path(message.pk)).status_code == 405


def test_forged_old_and_idle_links_read_alike(
    alice: User, mail: Channel, at_nobody: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = _message(alice, "secret words")
    path = detail_path(message.pk)
    idle = detail_path(new_id())
    pages = [at_nobody.get(place) for place in (path + "x", "/m/nonsense", "/m/" + message.pk, idle)]
    monkeypatch.setattr("notifications.messages.links.LIFE", dt.timedelta(seconds=-1))
    pages.append(at_nobody.get(path))
    for response in pages:
        assert response.status_code == 404
        assert "This message can no longer be read here" in text_of(response)
        assert "secret words" not in text_of(response)
        assert_sound(response)
    assert len({text_of(response) for response in pages}) == 1


def test_hostile_texts_are_shown_as_text(alice: User, mail: Channel, at_alice: Client, at_nobody: Client) -> None:
    message = _answers(alice)
    for number, text in enumerate(CORPUS[::5]):
        Message.objects.filter(pk=message.pk).update(
            text=text, title=text[:120], source=text[:200], key=text[:60], url="", mentions=[text[:60]]
        )
        message.actions.update(label=text[:60], agent=text[:50], text=text[:4000])
        Channel.objects.filter(pk=mail.pk).update(name=text[:50], enabled=number % 2 == 0, off_reason=text[:60])
        Delivery.objects.update(provider_code=text[:60], fault="permanent", state="dead")
        for client, path in (
            (at_alice, f"/console/messages/{message.pk}"),
            (at_nobody, detail_path(message.pk)),
        ):
            response = client.get(path)
            assert_sound(response)
            assert html.escape(visible_text(text)) in text_of(response)
            assert [(path, ascii(sign)) for sign in HIDDEN if sign in text_of(response)] == []
        for path in ("/console/messages", "/console/channels", "/console/messages/send") if number % 4 == 0 else ():
            response = at_alice.get(path)
            assert_sound(response)
            assert [(path, ascii(sign)) for sign in HIDDEN if sign in text_of(response)] == []
