"""One key makes one job, repeated or in parallel (T1)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.api.people import Answer, Live, Person, TheirAgent

_RACERS = 16


def _send(person: Person, agent: TheirAgent, key: str, message: str = "once", **more: Any) -> Answer:
    body = {"agent": agent.id, "message": message, "ttl": 3600, **more}
    return person("POST", "/jobs", body, headers={"Idempotency-Key": key})


def _jobs(person: Person, agent: TheirAgent) -> list[str]:
    return [job["id"] for job in person("GET", f"/jobs?agent={agent.id}").body["items"]]


def test_same_key_and_body_give_the_same_job(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    first, second = (_send(live_alice, agent, "key-1") for _ in range(2))
    assert (first.status, second.status) == (201, 201)
    assert first.body == second.body
    assert _jobs(live_alice, agent) == [first.body["id"]]


def test_same_key_gives_the_same_job_after_its_end(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    sent = _send(live_alice, agent, "key-2")
    assert live_alice.poll(agent).body["id"] == sent.body["id"]
    done = live("PUT", f"/agent/jobs/{sent.body['id']}/succeed", {"result": "ok"}, token=agent.token)
    assert done.status == 204
    again = _send(live_alice, agent, "key-2")
    assert (again.status, again.body["id"], again.body["status"]) == (201, sent.body["id"], "succeeded")


@pytest.mark.parametrize(
    "other",
    [{"message": "twice"}, {"source": "else"}, {"callback": "disable"}, {"ttl": 60}],
    ids=lambda other: next(iter(other)),
)
def test_same_key_and_another_body_are_refused(other: dict[str, Any], live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    sent = _send(live_alice, agent, f"key-3-{next(iter(other))}")
    refused = _send(live_alice, agent, f"key-3-{next(iter(other))}", **other)
    assert (refused.status, refused.body["error"]) == (422, "IdempotencyMismatch")
    assert _jobs(live_alice, agent) == [sent.body["id"]]


def test_refused_job_does_not_use_up_its_key(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent(online=False)
    refused = _send(live_alice, agent, "key-4", ttl=None)
    assert (refused.status, refused.body["error"]) == (400, "InvalidAgent")
    assert live("GET", "/agent/job", token=agent.token).status == 204
    assert _send(live_alice, agent, "key-4", ttl=None).status == 201


def test_keys_are_compared_letter_by_letter(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    keys = ["key-5", "KEY-5", "key-5x", "k\u00e9y-5", "key  5"]
    assert len({_send(live_alice, agent, key).body["id"] for key in keys}) == len(keys)


def test_keys_of_two_users_are_independent(live: Live, live_alice: Person, live_charlie: Person) -> None:
    hers, his = live_alice.add_agent(), live_charlie.add_agent()
    first, second = _send(live_alice, hers, "key-6"), _send(live_charlie, his, "key-6")
    assert (first.status, second.status) == (201, 201)
    assert first.body["id"] != second.body["id"]


def test_sixteen_racers_with_one_key_make_one_job(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    start = Barrier(_RACERS)

    def race(_: int) -> Answer:
        start.wait()
        return _send(live_alice, agent, "key-7")

    with ThreadPoolExecutor(_RACERS) as racers:
        answers = list(racers.map(race, range(_RACERS)))
    assert {answer.status for answer in answers} == {201}
    assert {answer.body["id"] for answer in answers} == set(_jobs(live_alice, agent))
    assert len(_jobs(live_alice, agent)) == 1
    assert [event["move"] for event in answers[0].body["events"]] == ["submit"]


def test_sixteen_agents_added_at_once_are_all_added(live: Live, live_alice: Person) -> None:
    """Each writes an audit entry; a race for the number of an entry must not fail one."""
    start = Barrier(_RACERS)

    def add(number: int) -> int:
        start.wait()
        return live_alice("POST", "/agents", {"name": f"racer-{number}"}).status

    with ThreadPoolExecutor(_RACERS) as racers:
        assert set(racers.map(add, range(_RACERS))) == {201}
    ask = "from accounts.services.audit import first_broken_entry; print(first_broken_entry())"
    assert live.process.manage("shell", "--no-imports", "--command", ask).strip() == "None"


def test_one_name_wanted_by_sixteen_at_once_is_given_once(live: Live, live_alice: Person) -> None:
    start = Barrier(_RACERS)

    def add(_: int) -> Answer:
        start.wait()
        return live_alice("POST", "/agents", {"name": "Wanted", "alias": "wanted-too"})

    with ThreadPoolExecutor(_RACERS) as racers:
        answers = list(racers.map(add, range(_RACERS)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * (_RACERS - 1)
    assert {answer.body["error"] for answer in answers if answer.status == 409} == {"NameTaken"}
