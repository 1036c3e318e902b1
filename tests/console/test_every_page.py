"""The rules for every route of the console, read from the table of routes: a new route without a row here fails."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts.models import User, UserToken
from accounts.services.tokens import mint_user_token
from jobs.life.report import ReportKind
from jobs.models import Job
from letserver.console_urls import urlpatterns
from notifications.channels.service import create_channel
from notifications.channels.trial import try_channel
from notifications.models import Channel, Delivery, Message
from tests.console.pages import assert_sound, text_of
from tests.factories import claim, make_agent, make_job, make_user, report

# Once: what a page draws does not depend on the database.
pytestmark = pytest.mark.sqlite_only

OPEN = {"login", "login-chat", "logout", "language", "theme"}
PAGES = {"overview", "account", "password", "agents", "agent-add", "jobs", "job-send", "chat"}
PAGES |= {"messages", "message-send", "channels", "channel-add"}
OF_AGENT = {"agent", "agent-reset", "agent-disable", "agent-delete"}
OF_JOB = {"job", "job-output"}
OF_TOKEN = {"token-revoke"}
OF_MESSAGE = {"message"}
OF_CHANNEL = {"channel", "channel-delete"}
BY_POST = {"token-mint"}
BY_POST_OF_AGENT = {"agent-enable"}
BY_POST_OF_JOB = {"job-again", "job-cancel"}
BY_POST_OF_MESSAGE = {"message-withdraw"}
BY_POST_OF_CHANNEL = {"channel-ask", "channel-move", "channel-switch", "channel-test"}
BY_POST_OF_DELIVERY = {"delivery-replay"}
READ = OF_AGENT | OF_JOB | OF_TOKEN | OF_MESSAGE | OF_CHANNEL
WRITTEN = BY_POST_OF_AGENT | BY_POST_OF_JOB | BY_POST_OF_MESSAGE | BY_POST_OF_CHANNEL | BY_POST_OF_DELIVERY
OWNED = READ | WRITTEN
ONLY_READ = {"overview", "account", "agents", "jobs", "messages", "channels"} | OF_JOB | OF_MESSAGE


@pytest.fixture(scope="module")
def address(module_rows: Any) -> dict[str, str]:
    """The address of each route, on things of alice. Built once; what a test changes of them is rolled back."""
    with module_rows():
        return _addresses(make_user("alice"))


def _addresses(alice: User) -> dict[str, str]:
    agent = make_agent(owner=alice, name="box")
    ended = make_job(agent)
    claim(agent)
    report(agent, ended, ReportKind.SUCCEED, "Sat Nov 21")
    mint_user_token(user=alice, scope="jobs", actor="test")
    token = UserToken.objects.get(user=alice)
    channel = create_channel(
        owner_id=alice.pk,
        name="box robot",
        driver="email",
        settings={"to": "a@example.com"},
        levels=["info"],
        actor="t",
    )
    message = try_channel(channel)
    subjects = (
        dict.fromkeys(OF_AGENT | BY_POST_OF_AGENT, ended.agent_id)
        | dict.fromkeys(OF_JOB | BY_POST_OF_JOB, ended.pk)
        | dict.fromkeys(OF_TOKEN, token.pk)
        | dict.fromkeys(OF_MESSAGE | BY_POST_OF_MESSAGE, message.pk)
        | dict.fromkeys(OF_CHANNEL | BY_POST_OF_CHANNEL, channel.pk)
        | dict.fromkeys(BY_POST_OF_DELIVERY, message.deliveries.get().pk)
    )
    return {name: reverse(f"console:{name}", args=[subjects[name]] if name in subjects else []) for name in _names()}


def _names() -> list[str]:
    return [str(pattern.name) for pattern in urlpatterns]


def test_every_route_has_a_row_here() -> None:
    assert set(_names()) == OPEN | PAGES | BY_POST | OWNED


@pytest.mark.parametrize("name", sorted(PAGES | READ))
def test_a_page_opens_for_its_owner_without_javascript(name: str, at_alice: Client, address: dict[str, str]) -> None:
    response = at_alice.get(address[name])
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert_sound(response)


@pytest.mark.parametrize("name", sorted(PAGES | OWNED | BY_POST))
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stranger_is_led_to_the_login(name: str, method: str, at_nobody: Client, address: dict[str, str]) -> None:
    before = _counts()
    response: HttpResponse = getattr(at_nobody, method)(address[name])
    if response.status_code != 405:
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/console/login?next=/console/")
    assert_sound(response)
    assert _counts() == before


@pytest.mark.parametrize("name", sorted(OWNED))
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_belongs_to_somebody_else_is_not_there(
    name: str, method: str, at_charlie: Client, address: dict[str, str]
) -> None:
    before = _counts()
    response: HttpResponse = getattr(at_charlie, method)(address[name], {"force": "on"})
    assert response.status_code in (404, 405)
    assert "box" not in text_of(response)
    assert_sound(response)
    assert _counts() == before


@pytest.mark.parametrize("name", sorted(PAGES))
def test_another_person_sees_nothing_of_it(name: str, at_charlie: Client, address: dict[str, str]) -> None:
    response = at_charlie.get(address[name])
    assert response.status_code == 200
    # The agent is called box, and a form may have a checkbox.
    page = text_of(response).replace('type="checkbox"', "")
    for secret in ("box", "Sat Nov 21", "lsj_", "alice"):
        assert secret not in page


@pytest.mark.parametrize("name", sorted(BY_POST | WRITTEN))
def test_what_changes_something_takes_no_get(name: str, at_alice: Client, address: dict[str, str]) -> None:
    assert at_alice.get(address[name]).status_code == 405


@pytest.mark.parametrize("name", sorted((PAGES | OWNED | BY_POST) - ONLY_READ))
def test_a_form_from_elsewhere_is_refused(name: str, alice: User, address: dict[str, str]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    before = _counts()
    response = client.post(address[name], {"force": "on", "name": "new"})
    assert response.status_code == 403
    assert "The form was too old" in text_of(response)
    assert_sound(response)
    assert _counts() == before


@pytest.mark.parametrize("name", ["overview", "agents", "job", "chat", "message"])
def test_htmx_gets_the_part_that_changes(name: str, at_alice: Client, address: dict[str, str]) -> None:
    response = at_alice.get(address[name], headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "<html" not in text_of(response)
    assert_sound(response)


def test_htmx_of_somebody_logged_out_moves_the_whole_page(at_nobody: Client, address: dict[str, str]) -> None:
    response = at_nobody.get(address["job"], headers={"HX-Request": "true"})
    assert response.headers["HX-Redirect"] == "/console/login"


@pytest.mark.parametrize("path", ["/console/nothing", "/console/jobs/none", "/admin/nothing"])
def test_what_is_not_there_has_a_page_of_its_own(path: str, at_bob: Client) -> None:
    response = at_bob.get(path)
    assert response.status_code == 404
    assert "There is nothing here" in text_of(response)
    assert_sound(response)


def test_a_fault_of_ours_has_a_page_that_tells_nothing(
    at_alice: Client, address: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_more: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("jobs.console.views.read_job", fail)
    at_alice.raise_request_exception = False
    response = at_alice.get(address["job"])
    assert response.status_code == 500
    assert "Something went wrong on our side" in text_of(response)
    assert "a secret of ours" not in text_of(response)
    assert_sound(response)


def test_the_root_leads_to_the_console(at_nobody: Client) -> None:
    assert at_nobody.get("/").headers["Location"] == "/console/"


def _counts() -> tuple[int, ...]:
    """A refused call must not change these: jobs, enabled agents, live tokens, messages, channels, deliveries."""
    from agents.models import Agent

    return (
        Job.objects.count(),
        Agent.objects.filter(enabled=True, deleted_at=None).count(),
        UserToken.objects.filter(revoked_at=None).count(),
        Message.objects.filter(withdrawn_at=None).count(),
        Channel.objects.filter(enabled=True).count(),
        Delivery.objects.filter(state="pending").count(),
    )
