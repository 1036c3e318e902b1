"""Agents at the console: add, show the token once, change, disable, delete."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import Settings

from accounts import tokens
from accounts.models import AuditEntry, User
from agents.models import Agent, AgentToken
from jobs.models import Job
from jobs.states import JobStatus
from skadi import config as skadi_config
from tests.console.pages import text_of
from tests.factories import make_agent, make_job

pytestmark = pytest.mark.django_db


def _add(client: Client, name: str = "web-1", **more: str) -> str:
    response = client.post("/console/agents/add", {"name": name, **more})
    assert response.status_code == 302
    return response.headers["Location"]


def _token_on(page: str) -> str:
    found = re.search(r"<code>([0-9A-Za-z]{20})</code>", page)
    return found[1] if found else ""


def test_a_new_agent_s_token_is_shown_exactly_once(at_alice: Client) -> None:
    address = _add(at_alice)
    first, second = text_of(at_alice.get(address)), text_of(at_alice.get(address))
    token = _token_on(first)
    assert AgentToken.objects.get(revoked_at=None).digest == tokens.digest(token)
    assert token not in address
    assert token not in second
    assert "fresh-token" not in second


def test_a_head_request_does_not_use_the_one_display_up(at_alice: Client) -> None:
    address = _add(at_alice)
    at_alice.head(address)
    assert _token_on(text_of(at_alice.get(address)))


def test_nobody_else_sees_the_token(at_alice: Client, at_charlie: Client) -> None:
    address = _add(at_alice)
    assert at_charlie.get(address).status_code == 404
    assert _token_on(text_of(at_alice.get(address)))


def test_the_lines_shown_are_a_configuration_that_the_agent_takes(at_alice: Client, tmp_path: object) -> None:
    from pathlib import Path

    response = at_alice.get(_add(at_alice))
    lines = response.context["install"].write
    text = lines.partition("<<'END'\n")[2].removesuffix("\nEND")
    file = Path(str(tmp_path)) / "skadi.yml"
    file.write_text(text + "\n")
    file.chmod(0o600)
    read = skadi_config.load(str(file), {})
    assert read.token == response.context["fresh_token"]
    assert [entry.name for entry in read.entries] == ["date", "uptime"]
    assert read.warnings == ()


@pytest.mark.parametrize(("name", "alias"), [("x", ""), ("two words", ""), ("agent", ""), ("ok", "a\u202eb"), ("", "")])
def test_a_wrong_name_is_refused_at_the_form(name: str, alias: str, at_alice: Client) -> None:
    response = at_alice.post("/console/agents/add", {"name": name, "alias": alias})
    assert response.status_code == 400
    assert 'class="errors"' in text_of(response) or 'role="alert"' in text_of(response)
    assert not Agent.objects.exists()


def test_a_taken_name_is_said_in_the_reader_s_language(alice: User, at_alice: Client) -> None:
    make_agent(owner=alice, name="web-1")
    response = at_alice.post("/console/agents/add", {"name": "WEB-1"}, headers={"Accept-Language": "zh-CN"})
    assert "名称 WEB-1 已被使用。" in text_of(response)


def test_names_and_remark_are_changed(alice: User, at_alice: Client) -> None:
    agent = make_agent(owner=alice, name="old")
    values = {"name": "new", "alias": "n2", "remark": "ask Lin"}
    assert at_alice.post(f"/console/agents/{agent.pk}", values).status_code == 302
    agent.refresh_from_db()
    assert (agent.name, agent.alias, agent.remark) == ("new", "n2", "ask Lin")


def test_the_form_says_and_changes_whether_an_agent_acts_for_its_owner(alice: User, at_alice: Client) -> None:
    page = f"/console/agents/{make_agent(owner=alice, name='nas').pk}"
    assert "It may act for me" in text_of(at_alice.get(page, headers={"Accept-Language": "en"}))
    assert "可以代表我操作" in text_of(at_alice.get(page, headers={"Accept-Language": "zh-CN"}))
    for wanted in (True, False):
        values = {"name": "nas", "acts_for_owner": "on"} if wanted else {"name": "nas"}
        assert at_alice.post(page, values).status_code == 302
        assert Agent.objects.get(name="nas").acts_for_owner == wanted
        box = text_of(at_alice.get(page)).partition('name="acts_for_owner"')[2].partition(">")[0]
        assert ("checked" in box) == wanted


def test_a_reset_ends_the_old_token_and_shows_the_new_one_once(at_alice: Client) -> None:
    address = _add(at_alice)
    old = _token_on(text_of(at_alice.get(address)))
    at_alice.post(f"{address}/reset-token")
    new = _token_on(text_of(at_alice.get(address)))
    assert new not in ("", old)
    assert list(AgentToken.objects.filter(revoked_at=None).values_list("digest", flat=True)) == [tokens.digest(new)]
    assert not _token_on(text_of(at_alice.get(address)))


def test_disabling_cancels_jobs_and_enabling_brings_the_agent_back(alice: User, at_alice: Client) -> None:
    agent = make_agent(owner=alice)
    job = make_job(agent)
    at_alice.post(f"/console/agents/{agent.pk}/disable")
    assert Job.objects.get(pk=job.pk).status == JobStatus.CANCELED
    assert not Agent.objects.get(pk=agent.pk).enabled
    at_alice.post(f"/console/agents/{agent.pk}/enable")
    assert Agent.objects.get(pk=agent.pk).enabled


def test_an_agent_that_is_online_is_deleted_only_with_the_box_ticked(alice: User, at_alice: Client) -> None:
    agent = make_agent(owner=alice)
    address = f"/console/agents/{agent.pk}/delete"
    assert 'name="force"' in text_of(at_alice.get(address))
    refused = at_alice.post(address)
    assert refused.status_code == 400
    assert "online" in text_of(refused)
    assert at_alice.post(address, {"force": "on"}).status_code == 302
    assert at_alice.get(f"/console/agents/{agent.pk}").status_code == 404


def test_an_agent_that_is_offline_is_deleted_without_a_box(alice: User, at_alice: Client) -> None:
    agent = make_agent(owner=alice, online=False)
    assert 'name="force"' not in text_of(at_alice.get(f"/console/agents/{agent.pk}/delete"))
    assert at_alice.post(f"/console/agents/{agent.pk}/delete").status_code == 302


def test_what_is_done_to_agents_stands_in_the_audit_trail(alice: User, at_alice: Client) -> None:
    address = _add(at_alice)
    at_alice.post(f"{address}/reset-token")
    at_alice.post(f"{address}/delete")
    actions = list(
        AuditEntry.objects.filter(actor=f"user:{alice.pk}").order_by("sequence").values_list("action", flat=True)
    )
    assert actions == ["login", "agent.create", "agent.reset_token", "agent.delete"]


def test_one_agent_too_many_is_refused_at_the_form_and_the_account_shows_the_limit(
    at_alice: Client, at_bob: Client, settings: Settings
) -> None:
    settings.AGENTS_PER_USER = 1
    _add(at_alice)
    response = at_alice.post("/console/agents/add", {"name": "web-2"})
    assert response.status_code == 400
    assert "You have 1 agents and may have 1. Delete one" in text_of(response)
    assert Agent.objects.count() == 1
    page = text_of(at_alice.get("/console/account"))
    assert '<progress value="1" max="1"' in page
    assert "<progress" not in text_of(at_bob.get("/console/account"))
