"""WeCom, Telegram and Slack: binding, unknown people, refused calls."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import ChatIdentity, User
from chat.services.codes import new_bind_code
from chat.services.inbound import put_off_messages
from chat.services.later import answer_put_off
from devtools.simulator import crypto
from jobs.models import Job
from kernel.clock import database_now
from letserver.urls import urlpatterns
from notifications.models import Channel, Message
from tests.chat.pushes import AES_KEY, CORP, TOKEN, WECHAT, WECOM, Phone
from tests.factories import make_agent

pytestmark = pytest.mark.django_db

_DOORS = {"chat-wechat", "chat-wecom", "chat-telegram", "chat-slack"}
_BOT = {"TELEGRAM_BOT_TOKEN": "123456:secret-of-the-bot", "TELEGRAM_WEBHOOK_SECRET": "hook-secret"}
_SLACK = {"SLACK_SIGNING_SECRET": "signing-secret"}


@pytest.fixture(autouse=True)
def _accounts(settings: Any) -> None:
    for name, value in (WECHAT | WECOM | _BOT | _SLACK).items():
        setattr(settings, name, value)
    settings.LANGUAGE_CODE = "en"


class _Telegram:
    """A private chat with the bot."""

    number = 100

    def text(self, text: str, *, chat: int = 42, secret: str = "hook-secret", **more: object) -> str:
        type(self).number += 1
        message = {
            "message_id": 1,
            "chat": {"id": chat, "type": "private"},
            "from": {"id": chat, "first_name": "Al", "language_code": "en-GB"},
            "text": text,
        }
        return self.said(self.update({"update_id": self.number, "message": message} | more, secret=secret))

    def update(self, update: object, *, secret: str = "hook-secret") -> HttpResponse:
        return Client().post(
            "/chat/telegram",
            json.dumps(update),
            content_type="application/json",
            headers={"X-Telegram-Bot-Api-Secret-Token": secret},
        )

    def said(self, response: HttpResponse) -> str:
        assert response.status_code == 200
        if not response.content:
            return ""
        answer = json.loads(response.content)
        assert answer["method"] == "sendMessage"
        return str(answer["text"])


class _Slack:
    """A person in a workspace."""

    number = 0

    def text(self, text: str, *, user: str = "U1", **more: str) -> str:
        type(self).number += 1
        fields = {"team_id": "T1", "user_id": user, "text": text, "trigger_id": f"trigger.{self.number}", **more}
        response = self.post(urlencode(fields).encode())
        assert response.status_code == 200
        return str(json.loads(response.content)["text"]) if response.content else ""

    def post(self, body: bytes, *, at: float | None = None, secret: bytes = b"signing-secret") -> HttpResponse:
        stamp = str(int(time.time() if at is None else at))
        signature = "v0=" + hmac.new(secret, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        return Client().post(
            "/chat/slack",
            body,
            content_type="application/x-www-form-urlencoded",
            headers={"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature},
        )


class _WeCom:
    """A member of the corporation."""

    def text(self, text: str, *, member: str = "zhang", **more: str) -> str:
        return Phone(openid=member, path="/chat/wecom", account=CORP).text(text, **more)


_PEOPLE = {"telegram": _Telegram, "slack": _Slack, "wecom": _WeCom}


@pytest.mark.parametrize("door", _PEOPLE)
def test_a_stranger_hears_only_how_to_be_bound(door: str, alice: User) -> None:
    make_agent(owner=alice, name="nas")
    person = _PEOPLE[door]()
    for text in ("help", "nas date", "token", "status"):
        assert "bind CODE" in person.text(text) or "绑定" in person.text(text)
    assert not Job.objects.exists()
    assert not ChatIdentity.objects.exists()


@pytest.mark.parametrize("door", _PEOPLE)
def test_a_bound_person_speaks_the_same_language(door: str, alice: User) -> None:
    make_agent(owner=alice, name="nas")
    person = _PEOPLE[door]()
    assert "alice" in person.text(f"bind {new_bind_code(owner=alice)}")
    identity = ChatIdentity.objects.get()
    assert (identity.platform, identity.owner) == (door, alice)
    assert Channel.objects.get().address == identity.external_id
    assert "🕘" in person.text("nas date")
    assert Job.objects.get().source == f"chat:{identity.pk}"
    assert "🟩 nas" in person.text("状态")
    assert person.text("x") == ""
    assert "agents" in person.text("unbind")
    person.text("yes")
    assert "lsu_" not in person.text("token")


@pytest.mark.parametrize("door", _PEOPLE)
def test_guessing_a_code_ends_after_five_tries(door: str, alice: User) -> None:
    person = _PEOPLE[door]()
    for _ in range(5):
        person.text("bind AAAA-AAAA-AAAAA")
    person.text(f"bind {new_bind_code(owner=alice)}")
    assert not ChatIdentity.objects.exists()


def test_a_code_of_somebody_frozen_binds_nothing(alice: User) -> None:
    code = new_bind_code(owner=alice)
    User.objects.update(is_active=False)
    _Telegram().text(f"bind {code}")
    assert not ChatIdentity.objects.exists()


def test_a_repeated_command_makes_one_job(alice: User) -> None:
    make_agent(owner=alice, name="nas")
    telegram, slack, wecom = _Telegram(), _Slack(), _WeCom()
    for person in (telegram, slack, wecom):
        person.text(f"bind {new_bind_code(owner=alice)}")
    for _ in range(3):
        telegram.text("nas one", update_id=7)
        slack.text("nas two", trigger_id="same")
        wecom.text("nas three", MsgId="7")
    assert sorted(Job.objects.values_list("message", flat=True)) == ["one", "three", "two"]


def test_telegram_knows_slashes_and_the_link_that_begins(alice: User) -> None:
    person = _Telegram()
    assert "alice" in person.text(f"/start {new_bind_code(owner=alice)}")
    assert "agent add" in person.text("/help@our_bot")
    assert "agent add" in person.text("/start")
    assert person.text("/") == ""


def test_telegram_notes_who_blocks_the_bot_and_who_is_back(alice: User) -> None:
    person = _Telegram()
    person.text(f"bind {new_bind_code(owner=alice)}")
    change = {"chat": {"id": 42, "type": "private"}, "new_chat_member": {"status": "kicked"}}
    person.update({"update_id": 9, "my_chat_member": change})
    assert not ChatIdentity.objects.get().active
    assert not Channel.objects.get().enabled
    person.text("help")
    assert ChatIdentity.objects.get().active
    assert Channel.objects.get().enabled


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"update_id": 1, "message": None},
        {"update_id": 1, "message": {"text": "help", "chat": {"id": 1, "type": "group"}}},
        {"update_id": 1, "message": {"text": "help", "chat": {"id": True, "type": "private"}}},
        {"update_id": 1, "message": {"text": ["help"], "chat": {"id": 1, "type": "private"}}},
        {"update_id": "1", "edited_message": {"text": "help"}},
        {"update_id": 1, "my_chat_member": {"chat": {"id": 2**60}, "new_chat_member": []}},
    ],
)
def test_telegram_updates_that_say_nothing_to_us_are_taken(update: object) -> None:
    response = _Telegram().update(update)
    assert (response.status_code, response.content) == (200, b"")


def test_slack_text_cannot_mention_anybody(alice: User) -> None:
    person = _Slack()
    person.text(f"bind {new_bind_code(owner=alice)}")
    make_agent(owner=alice, name="<!channel>", online=False)
    assert "&lt;!channel&gt;" in person.text("status")


def test_a_slack_command_that_cannot_be_told_from_another_is_not_taken(alice: User) -> None:
    assert _Slack().text("help", trigger_id="") == ""


def test_every_door_refuses_who_is_not_the_platform_in_one_way(settings: Any) -> None:
    assert {str(pattern.name) for pattern in urlpatterns if str(pattern.pattern).startswith("chat/")} == _DOORS
    now = str(int(time.time()))
    telegram, slack = _Telegram(), _Slack()
    wecom = Phone(path="/chat/wecom", account=CORP)
    other_corp = Phone(path="/chat/wecom", account="ww-of-somebody-else")
    refused = [
        *(Client().post(f"/chat/{door[5:]}", b"", content_type="text/plain") for door in _DOORS),
        telegram.update({}, secret="wrong"),
        telegram.update({}, secret="\u00e9"),
        telegram.update([1, 2]),
        slack.post(b"text=help", at=time.time() - 301),
        slack.post(b"text=help", secret=b"other"),
        slack.post(b"\xff=\xfe"),
        slack.post(b"x" * 70_000),
        slack.post("&".join(f"a{number}=1" for number in range(60)).encode()),
        wecom.push({}, query={"timestamp": now, "nonce": "n", "signature": crypto.sha1_signature(TOKEN, now, "n")}),
        other_corp.push({"MsgType": "text", "Content": "x"}),
    ]
    shapes = {(response.status_code, response.content) for response in refused[:-2] + refused[-1:]}
    assert shapes == {(403, refused[0].content)}
    assert refused[-2].status_code == 403 or refused[-2].content == b"success"


def test_wecom_proves_that_we_hold_the_key() -> None:
    now, echo = str(int(time.time())), crypto.encrypt("4711", aes_key=AES_KEY, receiver=CORP, filling=b"0" * 16)
    query = {"timestamp": now, "nonce": "n", "echostr": echo}
    query["msg_signature"] = crypto.sha1_signature(TOKEN, now, "n", echo)
    response = Client().get("/chat/wecom", query)
    assert (response.status_code, response.content) == (200, b"4711")


@pytest.mark.parametrize("missing", ["TELEGRAM_WEBHOOK_SECRET", "SLACK_SIGNING_SECRET", "WECOM_TOKEN", "WECHAT_KIND"])
def test_a_door_without_its_settings_is_not_there(missing: str, settings: Any) -> None:
    setattr(settings, missing, "")
    path = f"/chat/{missing.split('_')[0].lower()}"
    assert Client().post(path, b"", content_type="text/plain").status_code == 404


def test_what_may_take_long_is_answered_later_and_once(alice: User, settings: Any) -> None:
    settings.WECHAT_KIND = ""
    person = _Telegram()
    person.text(f"bind {new_bind_code(owner=alice)}")
    assert person.text("poster") == ""
    (message_id,) = put_off_messages(database_now(), older_than=-(database_now() - database_now()))
    for _ in range(2):
        answer_put_off(message_id)
    assert Message.objects.get(owner=alice).text == "This service has no official account."
    assert put_off_messages(database_now(), older_than=database_now() - database_now()) == []
