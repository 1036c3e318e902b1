"""Plays docs/wire/*.json, the contract with clients in the field, against live servers; hot calls on both mounts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accounts.tokens import new_user_token
from tests.api.contract import check_error
from tests.api.mounts import on_its_mounts
from tests.api.people import Live, Person, TheirAgent

_WIRE = Path(__file__).resolve().parents[2] / "docs" / "wire"


def _exchanges() -> list[Any]:
    """Return (mount, exchange) of every exchange; those of hot calls on both mounts."""
    found = []
    for file in ("agent", "user"):
        for exchange in json.loads((_WIRE / f"{file}.json").read_text(encoding="utf-8"))["exchanges"]:
            asked = exchange["request"]
            name = f"{file}: {exchange['name']}"
            found += on_its_mounts(exchange, name=name, method=asked["method"], path=asked["path"])
    return found


def _fresh_bar(alice: Person, given: dict[str, Any]) -> TheirAgent:
    for agent in alice("GET", "/agents").body["items"]:
        if agent["name"] == "bar":
            assert alice("DELETE", f"/agents/{agent['id']}?force=1").status == 204
    return alice.add_agent("bar", online=given.get("agent_online", False))


def _arrange(alice: Person, agent: TheirAgent, given: dict[str, Any]) -> str:
    """Prepare the state before the exchange; return the job's id, or ""."""
    job_id = ""
    if given.get("claimed"):
        job_id = alice.give(agent, given["job"])
    elif given.get("offered") or given.get("running"):
        job_id = _offer(alice, agent, given["job"], acknowledged=given.get("running", False))
    elif "argv" in given:
        job_id = alice("POST", "/jobs", {"agent": agent.id, "argv": given["argv"], "ttl": 3600}).body["id"]
    elif "job" in given:
        job_id = alice.send(agent, given["job"])["id"]
    if given.get("succeeded"):
        done = alice.api("PUT", f"/agent/jobs/{job_id}/succeed", {"result": "ok"}, token=agent.token)
        assert done.status == 204
    if given.get("canceled"):
        assert alice("POST", f"/jobs/{job_id}/cancel").status == 200
    if given.get("disabled"):
        assert alice("PATCH", f"/agents/{agent.id}", {"enabled": False}).status == 200
    return job_id


def _offer(alice: Person, agent: TheirAgent, message: str, *, acknowledged: bool) -> str:
    """Send a job and let the agent claim it under protocol 2; return its id."""
    job_id = str(alice.send(agent, message)["id"])
    two = {"Skadi-Protocol": "2"}
    assert alice.api("GET", "/agent/job?wait=5", token=agent.token, headers=two).body["id"] == job_id
    if acknowledged:
        said = {"ack": True, "offer": 1}
        taken = alice.api("PUT", f"/agent/jobs/{job_id}/running", said, token=agent.token, headers=two)
        assert taken.status == 204
    return job_id


def _filled(value: Any, words: dict[str, str]) -> Any:
    text = json.dumps(value)
    for name, word in words.items():
        text = text.replace("{" + name + "}", word)
    return json.loads(text)


@pytest.mark.parametrize(("live", "exchange"), _exchanges(), indirect=["live"])
def test_wire_example_is_answered_as_written(exchange: dict[str, Any], live: Live, live_alice: Person) -> None:
    given = exchange.get("given", {})
    agent = _fresh_bar(live_alice, given)
    job_id = _arrange(live_alice, agent, given)
    words = {
        "agent_id": agent.id,
        "agent_token": agent.token,
        "user_token": live_alice.full,
        "unknown_user_token": new_user_token("full"),
        "job_id": job_id,
    }
    asked, expected = _filled(exchange["request"], words), _filled(exchange["response"], words)
    raw = asked["text"].encode() if "text" in asked else None
    answer = live(asked["method"], asked["path"], asked.get("body"), headers=asked.get("headers", {}), raw=raw)
    assert answer.status == expected["status"], answer
    if "error" in expected:
        check_error(answer.body)
        assert answer.body["error"] == expected["error"]
    else:
        assert answer.body == expected.get("body")
    for name, value in expected.get("headers", {}).items():
        assert answer.headers[name.lower()] == value
    if "job_message" in exchange:
        assert live_alice.poll(agent).body["message"] == exchange["job_message"]
