"""Agents through the API: add, change, presence, delete."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from agents.models import Agent
from tests.api.people import Person


def test_new_agent_is_answered_with_its_token_once(alice: Person) -> None:
    made = alice("POST", "/agents", {"name": "bar", "alias": "bee", "remark": "in the cellar"})
    token = made.body.pop("token")
    assert len(token) == 20
    assert made.headers["location"] == f"/agents/{made.body['id']}"
    assert (made.body["name"], made.body["alias"], made.body["remark"]) == ("bar", "bee", "in the cellar")
    assert (made.body["enabled"], made.body["online"], made.body["available"]) == (True, False, False)
    assert alice("GET", f"/agents/{made.body['id']}").body == made.body
    assert alice("GET", "/agents").body == {"items": [made.body], "next": None}


def test_agents_are_listed_by_name(alice: Person) -> None:
    for name in ("charlie", "alpha", "bravo"):
        alice.add_agent(name, online=False)
    assert [agent["name"] for agent in alice("GET", "/agents").body["items"]] == ["alpha", "bravo", "charlie"]


def test_name_that_is_taken_is_a_conflict(alice: Person, charlie: Person) -> None:
    agent = alice.add_agent("bar")
    other = alice.add_agent("foo")
    assert alice("POST", "/agents", {"name": "BAR"}).body["error"] == "NameTaken"
    assert alice("PATCH", f"/agents/{other.id}", {"alias": "bar"}).status == 409
    assert alice("PATCH", f"/agents/{agent.id}", {"name": "Bar"}).body["name"] == "Bar"
    assert charlie.add_agent("bar")


def test_change_keeps_fields_that_were_not_sent(alice: Person) -> None:
    agent = alice.add_agent("bar", alias="bee", remark="old")
    changed = alice("PATCH", f"/agents/{agent.id}", {"remark": ""}).body
    assert (changed["name"], changed["alias"], changed["remark"]) == ("bar", "bee", "")
    assert alice("PATCH", f"/agents/{agent.id}", {"alias": ""}).body["alias"] == ""
    assert alice("PATCH", f"/agents/{agent.id}", {}).body["name"] == "bar"


@pytest.mark.parametrize("tags", [[[]], ["nas", []], [{}], [["nas"]], [1], [None], ["nas", True], "nas", {}])
def test_tags_that_are_no_texts_are_refused_by_name(tags: object, alice: Person) -> None:
    agent = alice.add_agent("bar")
    for refused in (
        alice("POST", "/agents", {"name": "foo", "tags": tags}),
        alice("PATCH", f"/agents/{agent.id}", {"tags": tags}),
    ):
        assert (refused.status, refused.body["error"]) == (400, "InvalidRequest")
        assert "tags" in refused.body["message"]


@pytest.mark.parametrize(
    ("field", "nearest"), [("aliass", "Did you mean alias?"), ("tag", "Did you mean tags?"), ("zzzzz", "not a field")]
)
def test_unknown_field_is_refused_with_the_nearest_known_one(field: str, nearest: str, alice: Person) -> None:
    agent = alice.add_agent("bar")
    for refused in (
        alice("POST", "/agents", {"name": "foo", field: "x"}),
        alice("PATCH", f"/agents/{agent.id}", {field: "x"}),
    ):
        assert (refused.status, refused.body["error"]) == (400, "InvalidRequest")
        assert field in refused.body["message"]
        assert nearest in refused.body["message"]


def test_disabling_cancels_jobs_and_refuses_the_agent(alice: Person) -> None:
    agent = alice.add_agent()
    taken, waiting = alice.give(agent), alice.send(agent)["id"]
    assert alice("PATCH", f"/agents/{agent.id}", {"enabled": False}).body["enabled"] is False
    for job_id in (taken, waiting):
        assert alice("GET", f"/jobs/{job_id}").body["status"] == "canceled"
    assert alice.api("GET", "/agent/job", token=agent.token).body["error"] == "UnavailableAgent"
    assert alice("POST", "/jobs", {"agent": agent.name, "message": "x"}).body["error"] == "InvalidAgent"


def test_online_agent_is_deleted_only_by_force(alice: Person) -> None:
    agent = alice.add_agent("bar")
    job_id = alice.send(agent)["id"]
    for path in (f"/agents/{agent.id}", f"/agents/{agent.id}?force=0"):
        refused = alice("DELETE", path)
        assert (refused.status, refused.body["error"]) == (400, "AgentOnline")
    assert alice("DELETE", f"/agents/{agent.id}?force=1").status == 204
    assert alice("GET", f"/agents/{agent.id}").status == 404
    assert alice("DELETE", f"/agents/{agent.id}?force=1").status == 404
    assert alice("GET", f"/jobs/{job_id}").body["status"] == "canceled"
    assert alice.api("GET", "/agent/job", token=agent.token).status == 401
    assert alice("POST", "/job/add", {"message": "bar x"}).status == 404


def test_offline_agent_is_deleted_without_force(alice: Person) -> None:
    agent = alice.add_agent(online=False)
    assert alice("DELETE", f"/agents/{agent.id}").status == 204


def test_poll_makes_an_agent_online_and_updates_its_presence(alice: Person) -> None:
    agent = alice.add_agent(online=False)
    said = {"Skadi-Agent": "2.0.0 linux-x86_64"}
    assert alice.api("GET", "/agent/job", token=agent.token, headers=said).status == 204
    seen = alice("GET", f"/agents/{agent.id}").body
    assert (seen["online"], seen["available"], seen["version"]) == (True, True, "2.0.0 linux-x86_64")
    assert seen["ip"] == "127.0.0.1"
    assert seen["activated_at"] == seen["last_seen_at"] is not None


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "203.0.113.7", "127.0.0.1"),
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "10.9.9.9, 203.0.113.7", "203.0.113.7"),
        (2, "10.9.9.9, 203.0.113.7, 192.0.2.1", "203.0.113.7"),
        (2, "203.0.113.7", "127.0.0.1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "' OR 1=1", None),
    ],
)
def test_address_is_the_one_that_the_outermost_trusted_proxy_saw(
    proxies: int, forwarded: str, expected: str | None, alice: Person, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = proxies
    agent = alice.add_agent(online=False)
    alice.api("GET", "/agent/job", token=agent.token, headers={"X-Forwarded-For": forwarded})
    assert alice("GET", f"/agents/{agent.id}").body["ip"] == expected


def test_me_counts_the_users_own_things(alice: Person, charlie: Person) -> None:
    online, _offline = alice.add_agent(), alice.add_agent(online=False)
    alice.give(online)
    alice.send(online)
    charlie.send(charlie.add_agent())
    me = alice.api("GET", "/me", token=alice.messages).body
    assert (me["username"], me["scope"]) == ("alice", "messages")
    assert me["counts"] == {"agents": 2, "online": 1, "jobs_waiting": 1}


def test_new_token_replaces_the_old_and_is_shown_once(alice: Person) -> None:
    agent = alice.add_agent()
    token = alice("POST", f"/agents/{agent.id}/token").body["token"]
    assert alice.api("GET", "/agent/job", token=agent.token).status == 401
    assert alice.api("GET", "/agent/job", token=token).status == 204
    assert Agent.objects.get(pk=agent.id).tokens.filter(revoked_at=None).count() == 1


def test_one_agent_too_many_is_a_conflict_that_says_the_limit(alice: Person, bob: Person, settings: Settings) -> None:
    settings.AGENTS_PER_USER = 1
    settings.SYS_TOKEN = "s" * 32
    agent = alice.add_agent("bar")
    refused = alice("POST", "/agents", {"name": "foo"})
    assert (refused.status, refused.body["error"]) == (409, "AgentLimit")
    assert "1" in refused.body["message"]
    me = alice("GET", "/me").body
    assert {"used": 1, "limit": 1, "recovers_at": None}.items() <= me["limits"][0].items()
    by_system = alice.api("POST", f"/sys/users/{me['id']}/agents", {"name": "foo"}, token=settings.SYS_TOKEN)
    assert by_system.body["error"] == "AgentLimit"
    assert alice("DELETE", f"/agents/{agent.id}?force=1").status == 204
    assert alice("POST", "/agents", {"name": "foo"}).status == 201
    assert bob("GET", "/me").body["limits"] == []
