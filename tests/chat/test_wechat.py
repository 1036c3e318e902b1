"""The adapter of the official account: modes, repeats, follow and unfollow, scanned pictures, posters, forgeries."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import ChatIdentity, QuotaUse, User
from accounts.services.identities import set_language
from chat.models import InboundMessage, Invitation, OneTimeCode
from chat.services.codes import begin_login, collect_login, new_bind_code
from chat.services.inbound import forget_old_messages
from devtools.simulator import crypto
from jobs.models import Job
from kernel.clock import database_now
from notifications.channels.service import create_channel
from notifications.deliveries.claim import claim_next
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.models import Channel, ChatCredit, Delivery
from tests.chat.pushes import APPID, TOKEN, WECHAT, Phone
from tests.factories import make_agent, make_user


@pytest.fixture(autouse=True)
def _account(settings: Any) -> None:
    for name, value in WECHAT.items():
        setattr(settings, name, value)
    settings.LANGUAGE_CODE = "en"


@pytest.fixture
def phone(db: None) -> Phone:
    """A stranger's."""
    return Phone()


def _owner(phone: Phone) -> User:
    return ChatIdentity.objects.get(external_id=phone.openid).owner


@pytest.mark.django_db
def test_the_platform_s_greeting_is_answered() -> None:
    now = str(int(time.time()))
    query = {"timestamp": now, "nonce": "n", "echostr": "hello", "signature": crypto.sha1_signature(TOKEN, now, "n")}
    response = Client().get("/chat/wechat", query)
    assert (response.status_code, response.content) == (200, b"hello")
    assert Client().get("/chat/wechat", query | {"signature": "0" * 40}).status_code == 403


@pytest.mark.django_db
def test_without_an_account_the_callback_is_not_found(settings: Any) -> None:
    settings.WECHAT_KIND = ""
    assert Client().get("/chat/wechat").status_code == 404


def test_following_makes_a_person_who_can_be_reached(phone: Phone) -> None:
    assert "help" in phone.event("subscribe")
    identity = ChatIdentity.objects.get()
    assert (identity.platform, identity.account, identity.active) == ("wechat", APPID, True)
    assert not identity.owner.has_usable_password()
    channel = Channel.objects.get(owner=identity.owner)
    assert (channel.driver, channel.account, channel.address) == ("wechat", APPID, phone.openid)


def test_leaving_shuts_the_channel_and_coming_back_finds_the_same_person(phone: Phone) -> None:
    phone.event("subscribe")
    owner = _owner(phone)
    assert phone.event("unsubscribe") == ""
    assert not ChatIdentity.objects.get().active
    assert not Channel.objects.get().enabled
    phone.event("subscribe")
    assert _owner(phone) == owner
    assert ChatIdentity.objects.get().active
    assert Channel.objects.get().enabled


def test_who_leaves_while_a_message_waits_is_told_elsewhere(phone: Phone) -> None:
    phone.event("subscribe")
    owner = _owner(phone)
    hook = create_channel(
        owner_id=owner.pk, name="hook", driver="webhook", settings={"url": "https://example.org/"}, levels=["info"],
        actor="test",
    )  # fmt: skip
    accept_messages([NewMessage(owner_id=owner.pk, text="hello")])
    waits = Delivery.objects.get(channel__driver="wechat")
    phone.event("unsubscribe")
    assert claim_next(waits.pk) is None
    waits.refresh_from_db()
    assert (waits.state, waits.tries, QuotaUse.objects.get().used) == ("dead", 0, 0)
    assert Delivery.objects.exclude(pk=waits.pk).get().channel == hook


def test_a_message_is_answered_and_opens_the_window(phone: Phone) -> None:
    assert "lsu_" in phone.text("token")
    credit = ChatCredit.objects.get()
    assert (credit.account, credit.address, credit.used) == (APPID, phone.openid, 0)
    credit.used = 5
    credit.save()
    assert phone.text("1") == ""
    assert phone.heard({"MsgType": "image", "MsgId": "77", "PicUrl": "x"}) == ""
    credit.refresh_from_db()
    assert credit.used == 0


def test_a_sign_of_life_touches_few_rows(phone: Phone) -> None:
    phone.text("help")
    with CaptureQueriesContext(connection) as queries:
        assert phone.text("1") == ""
    said = [one["sql"].replace("`", '"') for one in queries]
    touched = [
        re.match(r'(SELECT|INSERT|UPDATE|DELETE).*?(?:FROM|INTO|UPDATE) "(\w+)"|UPDATE "(\w+)"', sql) for sql in said
    ]
    assert [found[2] or found[3] for found in touched if found] == [
        "chat_inboundmessage",
        "accounts_chatidentity",
        "notifications_chatcredit",
        "notifications_delivery",
        "notifications_chatcredit",
        "notifications_messageaction",
    ]


def test_a_job_is_sent_once_however_often_the_message_comes(phone: Phone) -> None:
    phone.text("help")
    make_agent(owner=_owner(phone), name="nas")
    first = phone.text("nas date", MsgId="4711")
    assert "nas" in first
    assert [phone.text("nas date", MsgId="4711") for _ in range(3)] == [first] * 3
    job = Job.objects.get()
    assert job.source == f"chat:{ChatIdentity.objects.get().pk}"
    assert phone.text("nas date", MsgId="4712") != first
    assert Job.objects.count() == 2


def test_two_events_in_one_second_are_two(phone: Phone) -> None:
    phone.text("help")
    make_agent(owner=_owner(phone), name="nas")
    for key in ("nas date", "nas uptime", "nas date"):
        phone.event("CLICK", key, Stamp="1700000000")
    assert sorted(Job.objects.values_list("message", flat=True)) == ["date", "uptime"]


def test_a_button_of_the_menu_says_its_key(phone: Phone) -> None:
    assert "agent add" in phone.event("CLICK", "status")


@pytest.mark.parametrize("event", ["VIEW", "LOCATION", "TEMPLATESENDJOBFINISH", "something_new"])
def test_other_events_are_taken_and_not_answered(event: str, phone: Phone) -> None:
    assert phone.event(event) == ""


def test_a_template_that_the_person_refuses_afterwards_goes_to_the_next_channel(phone: Phone) -> None:
    phone.event("subscribe")
    owner = _owner(phone)
    create_channel(
        owner_id=owner.pk, name="hook", driver="webhook", settings={"url": "https://example.org/"}, levels=["info"],
        actor="test",
    )  # fmt: skip
    accept_messages([NewMessage(owner_id=owner.pk, text="hello")])
    first = Delivery.objects.get(channel__driver="wechat")
    Delivery.objects.filter(pk=first.pk).update(state="sent", provider_id="4711")
    phone.event("TEMPLATESENDJOBFINISH", MsgID="4711", Status="success")
    phone.event("TEMPLATESENDJOBFINISH", MsgID="4712", Status="failed:user block")
    assert Delivery.objects.count() == 1
    phone.event("TEMPLATESENDJOBFINISH", MsgID="4711", Status="failed:user block")
    first.refresh_from_db()
    assert (first.state, first.provider_code) == ("dead", "failed:user block")
    assert Delivery.objects.exclude(pk=first.pk).count() == 1


def test_replies_are_sealed_and_wiped(phone: Phone) -> None:
    token = phone.text("token", MsgId="1").split("\n")[1]
    row = InboundMessage.objects.get()
    assert row.sealed_reply
    assert token not in row.sealed_reply
    InboundMessage.objects.update(came_at="2020-01-01T00:00:00Z")
    forget_old_messages()
    assert not InboundMessage.objects.exists()


def test_no_token_and_no_text_is_logged(phone: Phone, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = phone.text("token").split("\n")[1]
    phone.text("a very private text")
    said = " ".join(str(vars(record)) for record in caplog.records if not record.name.startswith("django.db"))
    assert token not in said
    assert "very private" not in said


@pytest.mark.django_db
def test_in_the_clear_nothing_runs(settings: Any) -> None:
    phone = Phone(plain=True)
    assert phone.text("token") == ""
    assert not InboundMessage.objects.exists()
    settings.WECHAT_AES_KEY = ""
    phone.event("subscribe")
    make_agent(owner=_owner(phone), name="nas")
    assert phone.text("nas date") == phone.text("token") == phone.event("CLICK", "nas date") == ""
    assert not Job.objects.exists()
    settings.WECHAT_PLAIN_COMMANDS = True
    assert "nas" in phone.text("nas date")
    assert Job.objects.count() == 1


def test_a_forged_plain_push_with_a_captured_query_makes_no_job(phone: Phone) -> None:
    phone.text("help")
    make_agent(owner=_owner(phone), name="nas")
    now = str(int(time.time()))
    captured = {"timestamp": now, "nonce": "n", "signature": crypto.sha1_signature(TOKEN, now, "n")}
    fields = {"MsgType": "text", "Content": "nas date", "MsgId": "9"}
    response = Phone(plain=True).push(fields, query=captured)
    assert response.content == b"success"
    assert not Job.objects.exists()


def test_whatever_is_wrong_has_one_answer(phone: Phone) -> None:
    now = str(int(time.time()))
    good = {"timestamp": now, "nonce": "n", "signature": crypto.sha1_signature(TOKEN, now, "n")}
    old = str(int(time.time()) - 301)
    answers = {
        (response.status_code, response.content)
        for response in (
            phone.push({}, query=good | {"encrypt_type": "aes", "msg_signature": "0" * 40}),
            phone.push({}, query={"timestamp": now}),
            phone.push({}, query={"timestamp": old, "nonce": "n", "signature": crypto.sha1_signature(TOKEN, old, "n")}),
            phone.client.post("/chat/wechat", b"x" * 70_000, content_type="text/xml", QUERY_STRING=""),
            phone.client.post("/chat/wechat?" + "&".join(f"a{n}=1" for n in range(2000)), b"", content_type="text/xml"),
            phone.client.post("/chat/wechat", b"<!DOCTYPE a>", content_type="text/xml"),
        )
    }
    assert len(answers) == 1
    assert answers.pop()[0] == 403


def test_a_poster_gives_both_sides_one_more_agent_once(phone: Phone) -> None:
    phone.event("subscribe")
    inviter = _owner(phone)
    friend = Phone(openid="oFriend000000000000000000001")
    friend.event("subscribe", f"qrscene_inv:{inviter.pk}")
    friend.event("unsubscribe")
    friend.event("subscribe", f"qrscene_inv:{inviter.pk}")
    friend.event("SCAN", f"inv:{inviter.pk}")
    phone.event("SCAN", f"inv:{inviter.pk}")
    inviter.refresh_from_db()
    assert (inviter.bonus_agents, _owner(friend).bonus_agents) == (1, 1)
    assert Invitation.objects.count() == 1
    assert "1" in phone.text("me")


def test_a_scanned_login_asks_with_the_browser_s_number(phone: Phone) -> None:
    phone.event("subscribe")
    offer = begin_login(browser="browser-1")
    question = phone.event("SCAN", f"login:{offer.scene}")
    assert offer.number in question
    assert collect_login(browser="browser-1") is None
    assert "logged in" in phone.text("yes")
    assert collect_login(browser="browser-2") is None
    assert collect_login(browser="browser-1") == _owner(phone)
    assert collect_login(browser="browser-1") is None
    assert "wrong" in phone.text(f"login {offer.code}")


def test_a_login_picture_is_good_once_and_for_its_time(phone: Phone) -> None:
    phone.event("subscribe")
    offer = begin_login(browser="b")
    phone.event("SCAN", f"login:{offer.scene}")
    phone.text("yes")
    other = Phone(openid="oOther0000000000000000000001")
    other.event("subscribe")
    for again in (phone, other):
        assert "wrong" in again.event("SCAN", f"login:{offer.scene}")
        assert "nothing to confirm" in again.text("yes")
    assert collect_login(browser="b") == _owner(phone)
    late = begin_login(browser="late")
    assert late.number in phone.event("SCAN", f"login:{late.scene}")
    OneTimeCode.objects.update(expires_at=database_now())
    assert "wrong" in phone.text("yes")
    assert "wrong" in phone.event("SCAN", f"login:{late.scene}")
    assert collect_login(browser="late") is None


def test_six_digits_log_a_browser_in(phone: Phone) -> None:
    offer = begin_login(browser="b")
    assert "login" in phone.text("login")
    assert "logged in" in phone.text(f"登录 {offer.code}")
    assert collect_login(browser="b") == _owner(phone)


def test_a_login_is_over_after_its_time_and_after_a_newer_one(phone: Phone) -> None:
    first = begin_login(browser="b")
    second = begin_login(browser="b")
    assert "wrong" in phone.text(f"login {first.code}")
    OneTimeCode.objects.update(expires_at=database_now())
    assert "wrong" in phone.text(f"login {second.code}")
    assert collect_login(browser="b") is None


def test_five_wrong_codes_shut_the_door_for_a_while(phone: Phone) -> None:
    offer = begin_login(browser="b")
    wrong = "000000" if offer.code != "000000" else "111111"
    for _ in range(5):
        assert "wrong" in phone.text(f"login {wrong}")
    assert "wrong" in phone.text(f"login {offer.code}")
    assert collect_login(browser="b") is None
    other = Phone(openid="oOther0000000000000000000001")
    assert "logged in" in other.text(f"login {offer.code}")


def test_a_frozen_person_cannot_log_in(phone: Phone) -> None:
    offer = begin_login(browser="b")
    phone.text("help")
    phone.text(f"login {offer.code}")
    User.objects.update(is_active=False)
    assert collect_login(browser="b") is None


def test_bind_ties_the_chat_to_an_account_and_unbind_unties_it(phone: Phone) -> None:
    phone.event("subscribe")
    alice = make_user("alice")
    set_language(user=alice, language="en")
    code = new_bind_code(owner=alice)
    assert "wrong" in phone.text("bind AAAA-BBBB-CCCCC")
    assert "alice" in phone.text(f"bind {code.lower()}")
    assert _owner(phone) == alice
    assert Channel.objects.get().owner == alice
    assert "wrong" in Phone(openid="oOther0000000000000000000001").text(f"bind {code}")
    assert "no longer reach" in phone.text("unbind")
    assert "no longer bound" in phone.text("yes")
    phone.text("help")
    assert _owner(phone) != alice


def test_a_chat_with_agents_is_not_taken_over(phone: Phone) -> None:
    phone.event("subscribe")
    owner = _owner(phone)
    make_agent(owner=owner, name="nas")
    assert "unbind" in phone.text(f"bind {new_bind_code(owner=make_user('alice'))}")
    assert _owner(phone) == owner


@pytest.fixture
def _closed_connections() -> Iterator[None]:
    yield
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_closed_connections")
def test_a_repeat_that_comes_before_the_first_answer_waits_for_it() -> None:
    phone = Phone()
    phone.text("help")
    make_agent(owner=_owner(phone), name="nas")

    def push(_number: int) -> str:
        try:
            return Phone().text("nas date", MsgId="99")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(push, range(4)))
    assert len(set(answers)) == 1
    assert answers[0]
    assert Job.objects.count() == 1
