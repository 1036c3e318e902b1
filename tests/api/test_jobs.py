"""Sending, reading and waiting for jobs with a user's token."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts.models import AuditEntry
from tests.api.mounts import both_mounts
from tests.api.people import Live, Person
from tests.waiting import until


def test_job_is_answered_whole(alice: Person) -> None:
    agent = alice.add_agent("bar")
    answer = alice("POST", "/jobs", {"agent": "bar", "message": "  date\n", "source": "ci", "callback": "disable"})
    job = answer.body
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["agent_id"], job["agent"], job["message"]) == (agent.id, "bar", "  date\n")
    assert (job["source"], job["callback"], job["status"]) == ("ci", "disable", "queuing")
    assert [event["move"] for event in job["events"]] == ["submit"]
    assert alice("GET", answer.headers["location"]).body == job


@pytest.mark.parametrize("called", ["bar", "BAR", "ｂａｒ", "bee", "id"])
def test_agent_is_found_by_id_name_and_alias(called: str, alice: Person) -> None:
    agent = alice.add_agent("bar", alias="bee")
    sent = alice("POST", "/jobs", {"agent": agent.id if called == "id" else called, "message": "x"})
    assert sent.body["agent_id"] == agent.id
    listed = alice("GET", f"/jobs?agent={agent.id if called == 'id' else called}")
    assert [job["id"] for job in listed.body["items"]] == [sent.body["id"]]


def test_offline_agent_takes_only_jobs_that_may_wait(alice: Person) -> None:
    agent = alice.add_agent(online=False)
    refused = alice("POST", "/jobs", {"agent": agent.name, "message": "x"})
    assert (refused.status, refused.body["error"]) == (400, "InvalidAgent")
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    for wait in ({"ttl": 60}, {"wait_until": later}):
        assert alice("POST", "/jobs", {"agent": agent.name, "message": "x", **wait}).status == 201


def test_line_has_a_location_and_must_not_be_kept(alice: Person) -> None:
    agent = alice.add_agent("bar")
    answer = alice.api("GET", f"/job/add?token={alice.jobs}&msg=bar%20%20free%20-k")
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    job = alice("GET", answer.headers["location"]).body
    assert (job["message"], job["source"], job["agent_id"]) == ("free -k", "api", agent.id)


def test_full_token_in_a_query_is_audited_and_a_narrow_one_is_not(alice: Person) -> None:
    alice.add_agent("bar")
    trail = AuditEntry.objects.filter(action="token.in_query")
    assert alice.api("GET", f"/job/add?token={alice.jobs}&msg=bar%20x").status == 201
    assert alice("GET", "/job/add?msg=bar%20x").status == 201
    assert not trail.exists()
    assert alice.api("GET", f"/job/add?token={alice.full}&msg=bar%20x").status == 201
    owner = alice("GET", "/me").body["id"]
    assert [(entry.subject, entry.actor) for entry in trail] == [(f"user:{owner}", f"user:{owner}")]


def test_prefetch_and_previews_send_nothing(alice: Person) -> None:
    alice.add_agent("bar")
    for headers in ({"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}, {"User-Agent": "Slackbot-LinkExpanding 1.0"}):
        assert alice.api("GET", f"/job/add?token={alice.full}&msg=bar%20x", headers=headers).status == 400
    assert alice.api("HEAD", f"/job/add?token={alice.full}&msg=bar%20x").status == 405
    assert alice("GET", "/jobs").body["items"] == []


def test_agent_sends_to_a_sibling_under_its_own_name(alice: Person) -> None:
    first, second = alice.add_agent(acts_for_owner=True), alice.add_agent()
    sent = alice.api("POST", "/agent/job/add", {"message": f"{second.name} hello"}, token=first.token)
    assert sent.status == 201
    (job,) = alice("GET", f"/jobs?source=agent:{first.id}").body["items"]
    assert (job["agent_id"], job["message"]) == (second.id, "hello")


def test_an_agent_for_itself_sends_jobs_only_to_itself(alice: Person) -> None:
    first, second = alice.add_agent(), alice.add_agent("second")
    assert not alice("GET", f"/agents/{first.id}").body["acts_for_owner"]
    for called in (second.name, second.id, "unknown"):
        refused = alice.api("POST", "/agent/job/add", {"message": f"{called} hello"}, token=first.token)
        assert (refused.status, refused.body["error"]) == (403, "Forbidden")
    for called in (first.name, first.id):
        sent = alice.api("POST", "/agent/job/add", {"message": f"{called} hello"}, token=first.token)
        assert sent.status == 201
    assert {job["agent_id"] for job in alice("GET", "/jobs").body["items"]} == {first.id}
    assert alice("PATCH", f"/agents/{first.id}", {"acts_for_owner": True}).body["acts_for_owner"]
    sent = alice.api("POST", "/agent/job/add", {"message": "second hello"}, token=first.token)
    assert sent.status == 201
    assert alice("PATCH", f"/agents/{first.id}", {"acts_for_owner": False}).status == 200
    assert alice.api("POST", "/agent/job/add", {"message": "second hello"}, token=first.token).status == 403


def test_output_is_kept_whole_and_its_beginning_in_result(alice: Person) -> None:
    agent = alice.add_agent()
    job_id = alice.give(agent)
    output = "傻" * 2000
    report = {"result": output, "exit_code": 3, "reason": "exit", "signal": None}
    assert alice.api("PUT", f"/agent/jobs/{job_id}/fail", report, token=agent.token).status == 204
    job = alice("GET", f"/jobs/{job_id}").body
    assert (job["status"], job["result"]) == ("failed", "傻" * 1024)
    assert job["output"] == {
        "text": output,
        "size_bytes": 6000,
        "truncated": False,
        "exit_code": 3,
        "signal": None,
        "reason": "exit",
    }
    assert [event["move"] for event in job["events"]] == ["submit", "claim", "finish"]


def test_report_of_several_megabytes_is_taken_and_cut(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    job_id = live_alice.give(agent)
    report = {"result": "x" * 7_000_000}
    assert live("PUT", f"/agent/jobs/{job_id}/succeed", report, token=agent.token).status == 204
    output = live_alice("GET", f"/jobs/{job_id}").body["output"]
    assert output["size_bytes"] == 7_000_000
    assert output["truncated"] is True
    assert len(output["text"].encode()) <= 1024 * 1024


@both_mounts
def test_wait_returns_the_end_as_soon_as_it_is_there(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    with ThreadPoolExecutor(1) as waiting:
        began = time.monotonic()
        sent = waiting.submit(live_alice, "POST", "/jobs?wait=20", {"agent": agent.name, "message": "date"})
        job = live_alice.poll(agent).body
        live("PUT", f"/agent/jobs/{job['id']}/succeed", {"result": "now"}, token=agent.token)
        answer = sent.result()
    assert time.monotonic() - began < 10
    assert (answer.status, answer.body["status"], answer.body["result"]) == (201, "succeeded", "now")


@both_mounts
def test_wait_for_a_job_read_by_another_call(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    job_id = live_alice.give(agent)
    with ThreadPoolExecutor(1) as waiting:
        read = waiting.submit(live_alice, "GET", f"/jobs/{job_id}?wait=20")
        live("PUT", f"/agent/jobs/{job_id}/fail", {"result": "no"}, token=agent.token)
        assert read.result().body["status"] == "failed"


@both_mounts
def test_wait_that_is_over_returns_the_job_as_it_is(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    began = time.monotonic()
    answer = live_alice("POST", "/jobs?wait=1", {"agent": agent.name, "message": "nobody takes it"})
    assert time.monotonic() - began >= 1
    assert (answer.status, answer.body["status"]) == (201, "queuing")


@both_mounts
def test_job_exists_before_its_wait_is_over(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    with ThreadPoolExecutor(1) as waiting:
        sent = waiting.submit(live_alice, "POST", "/jobs?wait=2", {"agent": agent.name, "message": "early"})
        (job,) = until(lambda: live_alice("GET", f"/jobs?agent={agent.id}").body["items"], seconds=2)
        assert sent.result().body["id"] == job["id"]


@both_mounts
def test_poll_of_a_held_agent_gets_the_job_that_comes(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    with ThreadPoolExecutor(1) as holder:
        held = holder.submit(live, "GET", "/agent/job?wait=20", token=agent.token)
        job = live_alice.send(agent, "now")
        assert held.result().body == {"id": job["id"], "message": "now"}


@both_mounts
def test_poll_that_did_not_ask_is_not_held(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    began = time.monotonic()
    assert live("GET", "/agent/job", token=agent.token).status == 204
    assert time.monotonic() - began < 2


@both_mounts
def test_jobs_are_handed_out_once_and_in_order(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    sent = [live_alice.send(agent, f"job {number}")["id"] for number in range(5)]
    assert [live_alice.poll(agent).body["id"] for _ in sent] == sent
    assert live("GET", "/agent/job", token=agent.token).status == 204


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("backoff", {"base": 5, "factr": 2}, "backoff.factr is not a field here. Did you mean backoff.factor?"),
        ("notify", {"wen": "failure"}, "notify.wen is not a field here. Did you mean notify.when?"),
        ("then", [{"on": "success", "message": "ls"}], "then[0]: Send agent or queue: where the job runs."),
        (
            "then",
            [{"on": "success", "queue": "q", "message": "ls", "backoff": {"base": 5, "limt": 9}}],
            "then[0].backoff.limt is not a field here. Did you mean then[0].backoff.limit?",
        ),
    ],
)
def test_an_error_inside_an_option_says_where(field: str, value: object, sentence: str, alice: Person) -> None:
    order = {"agent": alice.add_agent().id, "message": "date", "retry": 1, field: value}
    refused = alice("POST", "/jobs", order)
    assert (refused.status, refused.body["message"]) == (400, sentence)


def test_a_time_of_a_follower_lies_in_the_future(alice: Person) -> None:
    follower = {"on": "success", "agent": alice.add_agent().id, "message": "ls", "wait_until": "2020-01-01T00:00:00Z"}
    deep = {"on": "failure", "agent": follower["agent"], "message": "ls", "then": [follower]}
    for then in ([follower], [deep]):
        refused = alice("POST", "/jobs", {"agent": follower["agent"], "message": "date", "then": then})
        assert (refused.status, refused.body["error"]) == (400, "InvalidRequest")
        assert "wait_until must lie in the future" in refused.body["message"]
