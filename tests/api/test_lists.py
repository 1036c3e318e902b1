"""Lists of jobs: filters, pages, cursors."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.api.people import Person, TheirAgent


@pytest.fixture
def agent(alice: Person) -> TheirAgent:
    """An agent of alice."""
    return alice.add_agent("bar", alias="bee")


def _ids(person: Person, query: str = "") -> list[str]:
    return [job["id"] for job in person("GET", f"/jobs{query}").body["items"]]


def test_jobs_come_newest_first(alice: Person, agent: TheirAgent) -> None:
    sent = [alice.send(agent)["id"] for _ in range(3)]
    assert _ids(alice) == sent[::-1]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_pages_together_are_the_whole_list_once(size: int, alice: Person, agent: TheirAgent) -> None:
    sent = [alice.send(agent)["id"] for _ in range(7)]
    found: list[str] = []
    cursor = ""
    for _ in range(8):
        page = alice("GET", f"/jobs?limit={size}{cursor}").body
        assert len(page["items"]) <= size
        found += [job["id"] for job in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == sent[::-1]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_lists_follow_the_creation_of_jobs_not_their_ids(size: int, alice: Person, agent: TheirAgent) -> None:
    """Ids of fired jobs derive from the ids of their delayed jobs, so they do not sort by time."""
    sent = []
    for _ in range(4):
        later = alice("POST", "/delayed-jobs", {"agent": "bar", "message": "x", "delay": "1d"}).body
        sent += [alice("POST", f"/delayed-jobs/{later['id']}/fire").body["job_id"], alice.send(agent)["id"]]
    found: list[str] = []
    cursor = ""
    while len(found) <= len(sent):
        page = alice("GET", f"/jobs?limit={size}{cursor}").body
        found += [job["id"] for job in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == sent[::-1]


def test_page_stays_where_it_was_when_jobs_come(alice: Person, agent: TheirAgent) -> None:
    sent = [alice.send(agent)["id"] for _ in range(4)]
    first = alice("GET", "/jobs?limit=2").body
    alice.send(agent)
    assert _ids(alice, f"?limit=2&cursor={first['next']}") == [sent[1], sent[0]]


def test_default_page_has_fifty_and_the_largest_a_hundred(alice: Person, agent: TheirAgent) -> None:
    for _ in range(101):
        alice.send(agent)
    assert len(_ids(alice)) == 50
    assert len(_ids(alice, "?limit=100")) == 100


def test_cursor_of_another_person_shows_nothing_of_theirs(alice: Person, agent: TheirAgent, charlie: Person) -> None:
    for _ in range(2):
        alice.send(agent)
    cursor = alice("GET", "/jobs?limit=1").body["next"]
    assert charlie("GET", f"/jobs?cursor={cursor}").body == {"items": [], "next": None}


def test_filter_by_status(alice: Person, agent: TheirAgent) -> None:
    taken, waiting = alice.give(agent), alice.send(agent)["id"]
    assert _ids(alice, "?status=sent") == [taken]
    assert _ids(alice, "?status=queuing") == [waiting]
    assert _ids(alice, "?status=failed") == []


def test_filter_by_a_deleted_agent_is_empty(alice: Person, agent: TheirAgent) -> None:
    other = alice.add_agent()
    mine, theirs = alice.send(agent)["id"], alice.send(other)["id"]
    assert _ids(alice, "?agent=bee") == [mine]
    assert _ids(alice, f"?agent={other.id}") == [theirs]
    alice("DELETE", f"/agents/{other.id}?force=1")
    assert alice("GET", f"/jobs?agent={other.id}").status == 404
    assert theirs in _ids(alice)


def test_filter_by_source_is_exact(alice: Person, agent: TheirAgent) -> None:
    wanted = alice.send(agent, source="ci")["id"]
    for source in ("CI", "ci2", "c", "%", ""):
        alice.send(agent, source=source)
    assert _ids(alice, "?source=ci") == [wanted]


def test_filter_by_time_takes_any_zone(alice: Person, agent: TheirAgent) -> None:
    job = alice.send(agent)
    made = dt.datetime.fromisoformat(job["created_at"])
    zone = dt.timezone(dt.timedelta(hours=8))
    before, after = made - dt.timedelta(seconds=1), (made + dt.timedelta(seconds=1)).astimezone(zone)
    early, late = before.isoformat().replace("+", "%2B"), after.isoformat().replace("+", "%2B")
    assert _ids(alice, f"?created_after={early}&created_before={late}") == [job["id"]]
    assert _ids(alice, f"?created_before={early}") == []
    assert _ids(alice, f"?created_after={late}") == []
    for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        assert alice("GET", f"/jobs?created_after={moment}").status == 200
        assert alice("GET", f"/jobs?created_before={moment}").status == 200


def test_filters_narrow_each_other_and_stay_over_pages(alice: Person, agent: TheirAgent) -> None:
    wanted = [alice.send(agent, source="ci")["id"] for _ in range(3)]
    alice.send(agent)
    page = alice("GET", "/jobs?source=ci&status=queuing&agent=bar&limit=2").body
    rest = _ids(alice, f"?source=ci&status=queuing&agent=bar&limit=2&cursor={page['next']}")
    assert [job["id"] for job in page["items"]] + rest == wanted[::-1]


def test_list_has_results_but_not_the_whole_output(alice: Person, agent: TheirAgent) -> None:
    job_id = alice.give(agent)
    alice.api("PUT", f"/agent/jobs/{job_id}/succeed", {"result": "x" * 5000}, token=agent.token)
    (job,) = alice("GET", "/jobs").body["items"]
    assert job["result"] == "x" * 1024
    assert "output" not in job
    assert "events" not in job


@pytest.mark.parametrize("name", ["format", "page", "user_id", "owner"])
def test_an_unknown_parameter_is_refused(name: str, alice: Person) -> None:
    refused = alice("GET", f"/jobs?{name}=x")
    assert refused.status == 400
    assert refused.body["message"].startswith(f"{name} is not a query parameter here.")
