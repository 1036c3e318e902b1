"""Protocol 2 for an agent and its owner: acknowledge, heartbeat, cancel, log; on live servers of both modes."""

from __future__ import annotations

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.mounts import both_mounts
from tests.api.people import Answer, Person, TheirAgent

pytestmark = both_mounts

TWO = {"Skadi-Protocol": "2"}


class Agent:
    """An agent with protocol 2, driven by the test."""

    def __init__(self, owner: Person, known: TheirAgent) -> None:
        self.owner, self.known = owner, known

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        answer = self.owner.api(
            method, path, body, token=self.known.token, headers=TWO | more.pop("headers", {}), **more
        )
        assert answer.headers["skadi-protocol"] == "2"
        return answer

    def take(self, message: str = "date") -> dict[str, Any]:
        sent = self.owner.send(self.known, message)
        answer = self("GET", "/agent/job?wait=5")
        assert answer.status == 200
        assert (answer.body["id"], answer.body["message"]) == (sent["id"], message)
        return dict(answer.body)

    def report(self, job: dict[str, Any], kind: str, **body: Any) -> Answer:
        return self("PUT", f"/agent/jobs/{job['id']}/{kind}", body)

    def run(self) -> dict[str, Any]:
        job = self.take()
        assert self.report(job, "running", ack=True, offer=job["offer"]).status == 204
        return job


@pytest.fixture
def agent(live_alice: Person) -> Agent:
    return Agent(live_alice, live_alice.add_agent())


def _status(agent: Agent, job: dict[str, Any]) -> str:
    return str(agent.owner("GET", f"/jobs/{job['id']}").body["status"])


def test_an_offer_has_the_fields_of_protocol_two(agent: Agent) -> None:
    job = agent.take("uptime")
    assert job == {
        "id": job["id"],
        "message": "uptime",
        "attempt": 1,
        "offer": 1,
        "lease_s": 120,
        "ack_s": 30,
        "source": "api",
    }


def test_an_old_agent_gets_the_original_fields(live_alice: Person) -> None:
    known = live_alice.add_agent()
    sent = live_alice.send(known)
    answer = live_alice.poll(known)
    assert answer.body == {"id": sent["id"], "message": "date"}
    assert "skadi-protocol" not in answer.headers


def test_acknowledge_run_finish_and_say_it_again(agent: Agent) -> None:
    job = agent.run()
    assert agent.report(job, "running", ack=True, offer=1).status == 204
    for _ in range(2):
        assert agent.report(job, "succeed", result="ok", exit_code=0, offer=1).status == 204
    refused = agent.report(job, "fail", result="no", exit_code=1)
    assert (refused.status, refused.body["error"]) == (400, "JobFinished")
    whole = agent.owner("GET", f"/jobs/{job['id']}").body
    assert (whole["status"], whole["result"]) == ("succeeded", "ok")


def test_an_offer_of_another_number_is_not_acknowledged(agent: Agent) -> None:
    job = agent.take()
    refused = agent.report(job, "running", ack=True, offer=7)
    assert (refused.status, refused.body["error"]) == (409, "JobTaken")
    assert _status(agent, job) == "sent"


def test_a_job_that_ended_is_not_acknowledged(agent: Agent) -> None:
    job = agent.run()
    assert agent.report(job, "succeed").status == 204
    assert agent.report(job, "running", ack=True, offer=1).body["error"] == "JobTaken"


def test_cancel_before_anybody_took_it(agent: Agent) -> None:
    job = agent.owner.send(agent.known)
    canceled = agent.owner("POST", f"/jobs/{job['id']}/cancel")
    assert (canceled.status, canceled.body["status"]) == (200, "canceled")
    assert agent.owner("POST", f"/jobs/{job['id']}/cancel").status == 200
    assert agent("GET", "/agent/job").status == 204


def test_cancel_before_the_agent_acknowledged_it(agent: Agent) -> None:
    job = agent.take()
    assert agent.owner("POST", f"/jobs/{job['id']}/cancel").body["status"] == "canceled"
    refused = agent.report(job, "running", ack=True, offer=1)
    assert (refused.status, refused.body["error"]) == (409, "JobCanceled")


def test_cancel_of_a_running_job_reaches_the_held_beat_at_once(agent: Agent) -> None:
    job = agent.run()
    with ThreadPoolExecutor(1) as pool:
        beat = pool.submit(agent, "POST", "/agent/beat?wait=20", {"running": [{"id": job["id"], "attempt": 1}]})
        time.sleep(0.5)
        began = time.monotonic()
        asked = agent.owner("POST", f"/jobs/{job['id']}/cancel").body
        assert (asked["status"], asked["cancel_requested_at"] is not None) == ("running", True)
        assert beat.result(15).body == {"cancel": [job["id"]], "lease_s": 120}
    assert time.monotonic() - began < 10
    assert agent.report(job, "running").body["error"] == "JobCanceled"
    assert agent.report(job, "fail", reason="canceled", result="canceled by its owner").status == 204
    whole = agent.owner("GET", f"/jobs/{job['id']}").body
    assert (whole["status"], whole["output"]["reason"]) == ("failed", "canceled")
    assert [event["move"] for event in whole["events"]] == ["submit", "claim", "progress", "ask_cancel", "finish"]
    ended = agent.owner("POST", f"/jobs/{job['id']}/cancel")
    assert (ended.status, ended.body["error"]) == (400, "JobFinished")


def test_cancel_of_an_old_agents_running_job_is_only_requested(live_alice: Person) -> None:
    known = live_alice.add_agent()
    job_id = live_alice.give(known)
    assert live_alice("POST", f"/jobs/{job_id}/cancel").body["status"] == "sent"
    assert live_alice.api("PUT", f"/agent/jobs/{job_id}/running", {}, token=known.token).status == 204
    assert live_alice.api("PUT", f"/agent/jobs/{job_id}/succeed", {}, token=known.token).status == 204


def test_a_beat_without_news_is_held_and_one_for_foreign_jobs_is_empty(agent: Agent, live_charlie: Person) -> None:
    job = agent.run()
    began = time.monotonic()
    assert agent("POST", "/agent/beat?wait=1", {"running": [{"id": job["id"]}]}).body["cancel"] == []
    assert 0.9 < time.monotonic() - began < 10
    agent.owner("POST", f"/jobs/{job['id']}/cancel")
    stranger = Agent(live_charlie, live_charlie.add_agent())
    assert stranger("POST", "/agent/beat", {"running": [{"id": job["id"]}, {"id": "x"}]}).body["cancel"] == []


@pytest.mark.parametrize("running", ["x", [1], [{}], [{"id": 1}], [{"id": "x"}] * 501])
def test_an_invalid_beat_is_refused(agent: Agent, running: Any) -> None:
    assert agent("POST", "/agent/beat", {"running": running}).body["error"] == "InvalidRequest"


def _put_log(agent: Agent, job: dict[str, Any], data: bytes, offset: int = 0, **headers: str) -> Answer:
    path = f"/agent/jobs/{job['id']}/log?offset={offset}"
    return agent("PUT", path, raw=data, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_log_is_resumed_by_offset_and_never_doubled(agent: Agent) -> None:
    job = agent.run()
    first = "第一行\n".encode()
    assert _put_log(agent, job, first).headers["skadi-log-offset"] == str(len(first))
    assert _put_log(agent, job, first + b"more\n").headers["skadi-log-offset"] == str(len(first) + 5)
    gap = _put_log(agent, job, b"lost", offset=4000)
    assert (gap.status, gap.headers["skadi-log-offset"]) == (204, str(len(first) + 5))
    zipped = gzip.compress(b"last\n")
    assert _put_log(agent, job, zipped, len(first) + 5, Content_Encoding="gzip").status == 204
    part = agent.owner("GET", f"/jobs/{job['id']}/log").body
    assert part["text"] == "第一行\nmore\nlast\n"
    assert (part["next"], part["complete"], part["status"]) == (len(first) + 10, False, "running")
    assert agent.owner("GET", f"/jobs/{job['id']}/log?offset={len(first)}").body["text"] == "more\nlast\n"


def test_log_is_complete_when_the_promised_bytes_are_there(agent: Agent) -> None:
    job = agent.run()
    _put_log(agent, job, b"a\n")
    assert agent.report(job, "fail", result="a\nb\n", exit_code=7, log_size=4).status == 204
    assert agent.owner("GET", f"/jobs/{job['id']}/log").body["complete"] is False
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(agent.owner, "GET", f"/jobs/{job['id']}/log?offset=2&wait=20")
        time.sleep(0.3)
        assert _put_log(agent, job, b"b\n", offset=2).status == 204
        part = held.result(15).body
    assert part == {"offset": 2, "next": 4, "text": "b\n", "complete": True, "status": "failed", "exit_code": 7}


def test_output_of_an_agent_without_log_is_the_log(live_alice: Person) -> None:
    known = live_alice.add_agent()
    job_id = live_alice.give(known)
    assert live_alice("GET", f"/jobs/{job_id}/log").body["text"] == ""
    done = live_alice.api("PUT", f"/agent/jobs/{job_id}/succeed", {"result": "四\n"}, token=known.token)
    assert done.status == 204
    part = live_alice("GET", f"/jobs/{job_id}/log?wait=5").body
    assert (part["text"], part["complete"], part["next"]) == ("四\n", True, 4)


@pytest.mark.parametrize(
    ("data", "encoding", "error"),
    [
        (b"\xff", "", "InvalidRequest"),
        (b"a\x00b", "", "InvalidRequest"),
        (b"no gzip", "gzip", "InvalidRequest"),
        (b"x", "br", "InvalidRequest"),
        (gzip.compress(b"x" * 2_000_000), "gzip", "TooLarge"),
        (b"x" * 65_537, "", "TooLarge"),
    ],
)
def test_log_that_cannot_be_kept(agent: Agent, data: bytes, encoding: str, error: str) -> None:
    job = agent.run()
    assert _put_log(agent, job, data, **({"Content_Encoding": encoding} if encoding else {})).body["error"] == error
    assert agent.owner("GET", f"/jobs/{job['id']}/log").body["text"] == ""


def test_log_ends_at_one_mebibyte(agent: Agent) -> None:
    job = agent.run()
    piece = gzip.compress(b"y" * 1024 * 1023)
    assert _put_log(agent, job, piece, Content_Encoding="gzip").status == 204
    full = _put_log(agent, job, b"z" * 2048, offset=1024 * 1023)
    assert (full.status, full.body["error"]) == (413, "TooLarge")
    part = agent.owner("GET", f"/jobs/{job['id']}/log?offset=0").body
    assert (part["next"], len(part["text"])) == (256 * 1024, 256 * 1024)


def test_offset_beyond_the_end_or_inside_a_character(agent: Agent) -> None:
    job = agent.run()
    _put_log(agent, job, "四".encode())
    for offset in ("4", "1", "x", "-1"):
        answer = agent.owner("GET", f"/jobs/{job['id']}/log?offset={offset}")
        assert answer.body["error"] == "InvalidRequest", offset


def test_whoami(agent: Agent) -> None:
    answer = agent("GET", "/agent/whoami")
    assert answer.body == {
        "id": agent.known.id,
        "name": agent.known.name,
        "owner": "alice",
        "protocol": 2,
        "lease_s": 120,
    }
