"""A replaced token ends within a second in both modes, also for a held call (S5)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.api.people import Live, Person
from tests.waiting import until


def test_old_agent_token_ends_within_a_second(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    assert live("GET", "/agent/job", token=agent.token).status == 204
    fresh = live_alice("POST", f"/agents/{agent.id}/token").body["token"]
    began = time.monotonic()
    until(lambda: live("GET", "/agent/job", token=agent.token).status == 401, seconds=5)
    assert time.monotonic() - began <= 1.0
    assert live("GET", "/agent/job", token=fresh).status == 204


def test_a_disabled_agent_is_refused_within_a_second_and_may_come_back(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    live_alice("PATCH", f"/agents/{agent.id}", {"enabled": False})
    began = time.monotonic()
    until(lambda: live("GET", "/agent/job", token=agent.token).status == 400, seconds=5)
    assert time.monotonic() - began <= 1.0
    live_alice("PATCH", f"/agents/{agent.id}", {"enabled": True})
    until(lambda: live("GET", "/agent/job", token=agent.token).status == 204, seconds=5)


def test_poll_held_while_its_token_is_replaced_gets_no_job(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    with ThreadPoolExecutor(1) as holder:
        held = holder.submit(live, "GET", "/agent/job?wait=5", token=agent.token)
        # The agent polls once with its new token; the next job must go to this token only.
        fresh = live_alice("POST", f"/agents/{agent.id}/token").body["token"]
        until(lambda: live("GET", "/agent/job", token=agent.token).status == 401, seconds=5)
        job = live_alice.send(agent, "for the new token")
        assert held.result().status in (204, 401)
    taken = live("GET", "/agent/job?wait=5", token=fresh)
    assert taken.body == {"id": job["id"], "message": "for the new token"}


def test_deleted_agent_is_unknown_within_a_second(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    assert live_alice("DELETE", f"/agents/{agent.id}?force=1").status == 204
    began = time.monotonic()
    until(lambda: live("GET", "/agent/job", token=agent.token).status == 401, seconds=5)
    assert time.monotonic() - began <= 1.0


def test_no_token_is_in_the_log(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    live("GET", f"/job/add?token={live_alice.full}&msg={agent.name}%20x")
    live("GET", f"/job/add?token={live_alice.full}&token=x&msg=y")
    live("GET", f"/nope?token={live_alice.full}")
    live("GET", f"/jobs?agent=%ff&token={live_alice.full}")
    live("DELETE", "/job/add", token=live_alice.full)
    live("GET", f"/{live_alice.full}")
    log = live.process.log_text()
    assert not [token for token in (live_alice.full, live_alice.jobs, agent.token) if token in log]
