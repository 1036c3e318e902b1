"""The console's chat page and the login by chat: the whole conversation without any platform."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import ChatIdentity, User
from accounts.services.identities import ChatAddress, meet_identity
from agents.models import Agent
from agents.services.presence import AgentTouch, touch_agents
from chat.commands.interpret import answer
from chat.commands.registry import Line
from chat.models import ChatLine
from jobs.life.report import ReportKind
from jobs.models import Job
from kernel.clock import database_now
from kernel.ids import new_id
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import ActionRequest, NewMessage
from tests.console.pages import assert_sound, text_of
from tests.factories import claim, make_agent, report

pytestmark = pytest.mark.django_db

_TOKEN = re.compile(r"lsu_[0-9A-Za-z]{36}")


@pytest.fixture(autouse=True)
def _english(settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"


@pytest.fixture
def browser(alice: User) -> Client:
    """alice's."""
    client = Client()
    client.force_login(alice)
    return client


def _say(browser: Client, text: str, *, htmx: bool = True, key: str = "") -> str:
    values = {"text": text, "key": key or new_id()}
    response = browser.post("/console/chat", values, headers={"HX-Request": "true"} if htmx else {})
    assert_sound(response)
    return text_of(response)


def test_the_conversation_is_shown_in_order_with_and_without_javascript(browser: Client) -> None:
    assert "Write “help”" in text_of(browser.get("/console/chat"))
    assert "What you can say" in _say(browser, "help")
    assert _say(browser, "status", htmx=False) == ""
    page = browser.get("/console/chat")
    assert_sound(page)
    said = text_of(page)
    assert said.index("help") < said.index("What you can say") < said.index("You have no agent yet")


def test_a_line_sent_twice_is_one(alice: User, browser: Client) -> None:
    make_agent(owner=alice, name="nas")
    for _ in range(2):
        _say(browser, "nas date", key="same")
    assert Job.objects.get().source == "chat:console"
    assert ChatLine.objects.count() == 2


def test_a_secret_is_shown_once_here_and_never_kept(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _TOKEN.search(_say(browser, "token"))
    assert found is not None
    assert not ChatLine.objects.filter(text__contains=found[0]).exists()
    assert found[0] in text_of(browser.get("/console/chat"))
    later = database_now() + dt.timedelta(seconds=121)
    monkeypatch.setattr("chat.adapters.console.approximate_now", lambda: later)
    page = text_of(browser.get("/console/chat"))
    assert found[0] not in page
    assert "lsu_" in page


def test_messages_appear_among_the_lines(alice: User, browser: Client) -> None:
    make_agent(owner=alice, name="nas")
    _say(browser, "help")
    page = text_of(browser.get("/console/chat", headers={"HX-Request": "true"}))
    mark = re.search(r"seen=([0-9a-f]+)", page)
    assert mark is not None
    quiet = browser.get(f"/console/chat?seen={mark[1]}", headers={"HX-Request": "true"})
    assert quiet.status_code == 204
    action = ActionRequest(label="Restart it", agent="nas", text="restart")
    accept_messages([NewMessage(owner_id=alice.pk, text="<b>disk full</b>", level="warning", actions=(action,))])
    news = browser.get(f"/console/chat?seen={mark[1]}", headers={"HX-Request": "true"})
    assert "&lt;b&gt;disk full&lt;/b&gt;" in text_of(news)
    assert "1 – Restart it" in text_of(news)
    assert "Restart it" in _say(browser, "1")
    assert Job.objects.get().message == "restart"


def test_a_result_comes_back_to_somebody_without_any_channel(alice: User, browser: Client) -> None:
    agent = make_agent(owner=alice, name="nas")
    _say(browser, "nas date")
    job = claim(agent)
    assert job is not None
    report(agent, job, ReportKind.SUCCEED, "Sat Nov 21")
    page = text_of(browser.get("/console/chat"))
    assert page.index("🕘") < page.index("🟩") < page.index("Sat Nov 21")
    _say(browser, "agent add other")
    touch_agents([AgentTouch(agent_id=Agent.objects.get(name="other").pk, ip=None, version="")])
    assert "other is online" in text_of(browser.get("/console/chat"))


def test_hostile_text_is_shown_and_does_nothing(alice: User, browser: Client) -> None:
    page = _say(browser, "<script>alert(1)</script> \u202e\x1b[31m")
    assert "<script>alert" not in page
    assert "\u202e" not in page
    accept_messages([NewMessage(owner_id=alice.pk, text="javascript:alert(1) https://example.org/<i>")])
    page = text_of(browser.get("/console/chat"))
    assert 'href="javascript' not in page


def test_an_empty_line_makes_nothing_and_a_long_one_is_cut(browser: Client) -> None:
    _say(browser, "   ")
    assert not ChatLine.objects.exists()
    assert "No command and no agent has that name" in _say(browser, "x" * 9000)
    assert len(ChatLine.objects.get(from_person=True).text) < 5000


def test_others_see_nothing_of_it(browser: Client, charlie: User) -> None:
    _say(browser, "agent add private-name")
    other = Client()
    other.force_login(charlie)
    assert "private-name" not in text_of(other.get("/console/chat"))
    assert Agent.objects.count() == 1


def test_the_page_speaks_the_reader_s_language(alice: User, browser: Client) -> None:
    User.objects.update(language="")
    headers = {"HX-Request": "true", "Accept-Language": "zh-CN"}
    browser.post("/console/chat", {"text": "help", "key": "k"}, headers=headers)
    browser.post("/console/chat", {"text": "help", "key": "k2"}, headers=headers | {"Accept-Language": "en"})
    assert "What you can say" in ChatLine.objects.filter(from_person=False).order_by("-id")[0].text


# Login by chat


def _code(response: HttpResponse) -> str:
    found = re.search(r"login ([0-9]{6})", text_of(response))
    assert found is not None
    return found[1]


@pytest.fixture
def identity(alice: User) -> ChatIdentity:
    """alice at some platform."""
    identity, _new = meet_identity(ChatAddress(platform="telegram", account="1", external_id="42"))
    identity.owner = alice
    identity.save()
    return identity


def _chat(identity: ChatIdentity, text: str) -> str:
    line = Line(owner_id=identity.owner_id, text=text, platform="telegram", identity_id=identity.pk)
    return answer(line).text


def test_a_browser_is_logged_in_by_the_code_it_shows(alice: User, identity: ChatIdentity) -> None:
    here, elsewhere = Client(), Client()
    page = here.get("/console/login/chat")
    assert_sound(page)
    code = _code(page)
    assert _code(here.get("/console/login/chat")) == code
    assert _code(elsewhere.get("/console/login/chat")) != code
    assert here.get("/console/login/chat", headers={"HX-Request": "true"}).status_code == 204
    assert "logged in" in _chat(identity, f"login {code}")
    assert "_auth_user_id" not in elsewhere.session
    assert elsewhere.get("/console/login/chat").status_code == 200
    assert here.get("/console/login/chat", headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/console/"
    assert here.session["_auth_user_id"] == alice.pk
    assert "wrong" in _chat(identity, f"login {code}")
    assert here.get("/console/login/chat").headers["Location"] == "/console/"


def test_looking_without_taking_logs_nobody_in(identity: ChatIdentity) -> None:
    here = Client()
    _chat(identity, f"login {_code(here.get('/console/login/chat'))}")
    here.head("/console/login/chat")
    assert "_auth_user_id" not in here.session
    assert here.post("/console/login/chat").status_code == 405


def test_codes_are_not_made_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel.limits._LOGIN_OFFERS", 2)
    statuses = [Client().get("/console/login/chat").status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
