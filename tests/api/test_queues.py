"""Queues over HTTP, for their owner and for a program that pulls."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.people import Answer, Person

_NEW = {
    "agent": None, "agent_id": None, "tag": None, "state": "open", "width": 1, "distinct": False, "max_length": None,
    "rate": None, "retry": 0, "backoff": None, "waiting": 0, "active": 0, "dead": 0, "oldest_at": None,
    "finished_last_minute": 0,
}  # fmt: skip


def _queue(person: Person, name: str = "q", **settings: Any) -> dict[str, Any]:
    made = person("PUT", f"/queues/{name}", settings)
    assert made.status == 201, made
    return dict(made.body)


def _ids(answer: Answer) -> list[str]:
    return [item["id"] for item in answer.body["items"]]


def test_a_queue_is_made_read_listed_changed_and_deleted(alice: Person, charlie: Person) -> None:
    made = _queue(alice)
    assert {name: made[name] for name in _NEW} == _NEW
    agent = alice.add_agent("worker")
    settings = {
        "agent": "worker", "width": 5, "distinct": True, "max_length": 100, "rate": {"limit": 3, "seconds": 10},
        "retry": 2, "backoff": {"base": 5},
    }  # fmt: skip
    changed = alice("PUT", "/queues/q", settings)
    assert (changed.status, changed.body["id"], changed.body["agent_id"]) == (200, made["id"], agent.id)
    assert changed.body["backoff"] == {"base": 5, "factor": 2, "limit": 3600}
    assert alice("GET", "/queues/q").body == changed.body
    assert alice("GET", "/queues").body == {"items": [changed.body], "next": None}
    assert charlie("GET", "/queues").body["items"] == []
    assert charlie("GET", "/queues/q").body["error"] == "QueueNotFound"
    assert alice("DELETE", "/queues/q").status == 204
    assert alice("GET", "/queues/q").status == 404


def test_invalid_queue_settings_are_refused_with_the_field(alice: Person) -> None:
    alice.add_agent("worker")
    wrong: list[dict[str, Any]] = [
        {"agent": "worker", "tag": "t"}, {"width": 0}, {"width": "1"}, {"distinct": 1}, {"max_length": 0},
        {"rate": 5}, {"rate": {}}, {"rate": {"limit": 0}}, {"retry": 11}, {"backoff": []}, {"backoff": [0]},
        {"backoff": {"factor": 2}}, {"backoff": "5s"}, {"tag": "a b"}, {"agent": 5},
    ]  # fmt: skip
    answers = [alice("PUT", "/queues/q", body) for body in wrong]
    assert [answer.body["error"] for answer in answers] == ["InvalidRequest"] * len(wrong)
    assert alice("PUT", "/queues/q", {"agent": "nobody"}).body["error"] == "AgentNotFound"
    assert alice("PUT", f"/queues/{'x' * 65}", {}).status == 400
    assert alice("PUT", "/queues/a%20b", {}).status == 400
    assert alice("PUT", "/queues/%E8%AE%A2%E5%8D%95", {}).body["name"] == "订单"


def test_one_job_or_a_list_each_with_its_own_outcome(alice: Person) -> None:
    _queue(alice, distinct=True, max_length=3)
    one = alice("POST", "/queues/q/jobs", {"message": "a", "task": "t", "priority": 2, "retry": 1})
    assert one.status == 201, one
    assert one.headers["location"] == f"/jobs/{one.body['id']}"
    told = {name: one.body[name] for name in ("queue", "agent", "task", "priority", "retries", "status")}
    assert told == {"queue": "q", "agent": None, "task": "t", "priority": 2, "retries": 1, "status": "queuing"}
    second = alice("POST", "/queues/q/jobs", {"message": "b", "task": "t"})
    assert (second.status, second.body["error"]) == (409, "QueueDuplicate")
    assert second.body["job_id"] == one.body["id"]
    items = [
        {"message": "b", "key": "k"}, {"message": ""}, 7, {"message": "c", "task": "t"}, {"message": "b", "key": "k"},
        {"argv": ["ls", "a b"]}, {"message": "too many"},
    ]  # fmt: skip
    answer = alice("POST", "/queues/q/jobs", items)
    assert answer.status == 200, answer
    outcomes = answer.body["items"]
    assert [item["status"] for item in outcomes] == [201, 400, 400, 409, 201, 201, 429]
    assert [item.get("error") for item in outcomes] == [
        None, "InvalidMessage", "InvalidRequest", "QueueDuplicate", None, None, "QueueFull",
    ]  # fmt: skip
    assert outcomes[0]["id"] == outcomes[4]["id"]
    assert outcomes[3]["job_id"] == one.body["id"]
    full = alice("POST", "/queues/q/jobs", {"message": "d"})
    assert (full.status, full.headers["retry-after"]) == (429, "1")
    assert alice("POST", "/queues/q/jobs", []).status == 400
    assert alice("POST", "/queues/q/jobs", [{"message": "x"}] * 1001).status == 400
    assert alice("POST", "/queues/none/jobs", {"message": "x"}).body["error"] == "QueueNotFound"
    by_jobs = alice("POST", "/jobs", {"queue": "q", "message": "e"})
    assert by_jobs.body["error"] == "QueueFull"
    assert alice("POST", "/jobs", {"queue": "q", "agent": "x", "message": "e"}).status == 400


def test_a_thousand_jobs_come_in_one_call(alice: Person) -> None:
    _queue(alice)
    answer = alice("POST", "/queues/q/jobs", [{"message": "x" * 2000, "task": str(number)} for number in range(1000)])
    assert {item["status"] for item in answer.body["items"]} == {201}
    assert alice("GET", "/queues/q").body["waiting"] == 1000


def test_pause_resume_drain_flush_answer_with_the_state_of_the_queue(alice: Person) -> None:
    _queue(alice)
    for word in "abc":
        assert alice("POST", "/queues/q/jobs", {"message": word}).status == 201
    assert alice("POST", "/queues/q/pause").body["state"] == "paused"
    assert alice("GET", "/queues/q/next").status == 204
    assert alice("POST", "/queues/q/drain").body["state"] == "draining"
    assert alice("POST", "/queues/q/jobs", {"message": "d"}).body["error"] == "QueueDraining"
    assert alice("GET", "/queues/q/next").body["message"] == "a"
    assert alice("POST", "/queues/q/flush").body == {"count": 2}
    stands = alice("POST", "/queues/q/resume").body
    assert (stands["state"], stands["waiting"], stands["active"]) == ("open", 0, 1)
    busy = alice("DELETE", "/queues/q")
    assert (busy.status, busy.body["error"]) == (409, "QueueBusy")


def test_a_program_pulls_extends_and_ends_its_jobs(alice: Person, charlie: Person) -> None:
    _queue(alice, retry=1, backoff=[1])
    job = alice("POST", "/queues/q/jobs", {"message": "a", "task": "t"}).body
    taken = alice("GET", "/queues/q/next?lease=30")
    assert taken.status == 200, taken
    assert {name: taken.body[name] for name in ("id", "message", "task", "params", "attempt", "offer")} == {
        "id": job["id"], "message": "a", "task": "t", "params": {}, "attempt": 1, "offer": 1,
    }  # fmt: skip
    path = f"/queues/q/jobs/{job['id']}"
    longer = alice("POST", f"{path}/extend", {"seconds": 300, "offer": 1})
    assert longer.body["lease_until"] > taken.body["lease_until"]
    assert alice("POST", f"{path}/extend", {"seconds": 300, "offer": 2}).body["error"] == "JobTaken"
    assert alice("POST", f"{path}/ack", {"ok": True}).status == 400
    assert alice("POST", f"{path}/ack", {"ok": "yes", "offer": 1}).status == 400
    assert charlie("POST", f"{path}/ack", {"ok": True, "offer": 1}).status == 404
    ended = alice("POST", f"{path}/ack", {"ok": True, "result": "fine", "offer": 1})
    assert (ended.status, ended.body["status"], ended.body["result"]) == (200, "succeeded", "fine")
    assert alice("POST", f"{path}/ack", {"ok": False, "offer": 1}).body["error"] == "JobFinished"
    assert alice("GET", "/queues/q/next?lease=0").status == 400
    assert alice("GET", "/queues/q/next").status == 204
    agent = alice.add_agent("worker")
    _queue(alice, "owned", agent=agent.id)
    for call in (("GET", "/queues/owned/next", None), ("POST", "/queues/owned/jobs/x/ack", {"ok": True, "offer": 1})):
        refused = alice(*call)
        assert (refused.status, refused.body["error"]) == (409, "QueueNotPulled")


def test_dead_letters_are_listed_replayed_and_removed(alice: Person) -> None:
    _queue(alice)
    for word in "abc":
        alice("POST", "/queues/q/jobs", {"message": word})
        taken = alice("GET", "/queues/q/next").body
        ack = {"ok": False, "result": "no", "offer": taken["offer"]}
        assert alice("POST", f"/queues/q/jobs/{taken['id']}/ack", ack).body["parked_at"] is not None
    page = alice("GET", "/queues/q/dead?limit=2")
    assert [item["message"] for item in page.body["items"]] == ["c", "b"]
    rest = alice("GET", f"/queues/q/dead?cursor={page.body['next']}")
    assert [item["message"] for item in rest.body["items"]] == ["a"]
    assert alice("POST", "/queues/q/dead/replay", {}).status == 400
    assert alice("POST", "/queues/q/dead/replay", {"ids": ["x"]}).status == 404
    replayed = alice("POST", "/queues/q/dead/replay", {"ids": _ids(rest)})
    assert replayed.body["count"] == 1
    again = alice("GET", f"/jobs/{replayed.body['ids'][0]}").body
    assert (again["attempt"], again["root_id"], again["message"]) == (2, _ids(rest)[0], "a")
    assert alice("DELETE", "/queues/q/dead").status == 400
    assert alice("DELETE", "/queues/q/dead?ids=x,y").status == 404
    assert alice("DELETE", f"/queues/q/dead?ids={_ids(page)[0]}").body == {"count": 1}
    assert alice("POST", "/queues/q/dead/replay", {"all": True}).body["count"] == 1
    assert alice("GET", "/queues/q").body["dead"] == 0


def test_agents_have_tags_and_a_group_gets_its_jobs(alice: Person) -> None:
    made = alice("POST", "/agents", {"name": "one", "tags": ["Build", "nas"]})
    assert made.body["tags"] == ["build", "nas"]
    path = f"/agents/{made.body['id']}"
    assert alice("PATCH", path, {"tags": ["build"]}).body["tags"] == ["build"]
    assert alice("GET", path).body["tags"] == ["build"]
    assert alice("PATCH", path, {"tags": ["a b"]}).status == 400
    assert alice("PATCH", path, {"tags": [str(number) for number in range(21)]}).status == 400
    _queue(alice, tag="BUILD")
    job = alice("POST", "/queues/q/jobs", {"message": "x"}).body
    taken = alice.api("GET", "/agent/job", token=made.body["token"])
    assert taken.body == {"id": job["id"], "message": "x"}
    assert alice("GET", f"/jobs/{job['id']}").body["agent"] == "one"


@pytest.mark.parametrize("options", [{"retry": 2, "backoff": [5], "idempotent": True}, {"then": "THEN"}])
def test_a_job_shows_its_followers(alice: Person, options: dict[str, Any]) -> None:
    agent = alice.add_agent("worker")
    if options.get("then"):
        options = {"then": [{"on": "success", "agent": "worker", "message": "after"}]}
    job = alice.send(agent, "first", **options)
    assert job["retries"] == options.get("retry", 0)
    assert alice.api("GET", "/agent/job", token=agent.token).status == 200
    kind = "succeed" if "then" in options else "fail"
    assert alice.api("PUT", f"/agent/jobs/{job['id']}/{kind}", {"result": "x"}, token=agent.token).status == 204
    (newest,) = (item for item in alice("GET", "/jobs").body["items"] if item["id"] != job["id"])
    if "then" in options:
        assert (newest["message"], newest["parent_id"], newest["source"]) == ("after", job["id"], f"job:{job['id']}")
    else:
        assert (newest["message"], newest["attempt"], newest["retries"]) == ("first", 2, 1)


def test_invalid_followers_are_refused(alice: Person) -> None:
    agent = alice.add_agent("worker")
    one = {"on": "success", "agent": "worker", "message": "x"}
    deep: dict[str, Any] = dict(one)
    for _ in range(10):
        deep = {**one, "then": [deep]}
    wrong: list[dict[str, Any]] = [
        {"then": []}, {"then": [one] * 6}, {"then": [{**one, "on": "always"}]}, {"then": [{**one, "message": " "}]},
        {"then": [{"on": "success", "message": "x"}]}, {"then": [deep]}, {"then": 5}, {"retry": -1},
        {"backoff": {"base": 5, "factor": 0}}, {"priority": 1}, {"distinct_key": "k"}, {"rate_key": "k"},
    ]  # fmt: skip
    answers = [alice("POST", "/jobs", {"agent": agent.id, "message": "x", **body}) for body in wrong]
    assert [answer.status for answer in answers] == [400] * len(wrong)
