"""Calls for other programs: deliveries and their replay, the secret of callbacks, the stream, /sys."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from jobs.models import Job, JobEvent
from kernel.clock import database_now
from notifications.models import Delivery, DeliveryState
from tests.api.people import Live, Person
from tests.lanes.live import SYS_TOKEN

HOOK = "https://hooks.example/jobs"


@pytest.fixture
def system(settings: Any) -> None:
    """Let the upstream program call."""
    settings.SYS_TOKEN = SYS_TOKEN


def test_a_callback_that_was_given_up_is_found_and_replayed(alice: Person) -> None:
    job = alice.send(alice.add_agent(), callback=HOOK)
    alice("POST", f"/jobs/{job['id']}/cancel")
    (item,) = alice("GET", f"/deliveries?kind=callback&subject=job:{job['id']}").body["items"]
    assert (item["target"], item["state"], item["tries"]) == (HOOK, "pending", 0)
    again = f"/deliveries/{item['id']}/replay"
    assert alice("POST", again).body == item
    Delivery.objects.filter(pk=item["id"]).update(
        state=DeliveryState.DEAD, tries=10, fault="retry", provider_code="http 500", ended_at=database_now()
    )
    (dead,) = alice("GET", "/deliveries?state=dead").body["items"]
    assert (dead["fault"], dead["code"]) == ("retry", "http 500")
    replayed = alice("POST", again).body
    assert (replayed["state"], replayed["tries"], replayed["code"], replayed["ended_at"]) == ("pending", 0, "", None)


@pytest.mark.parametrize("query", ["kind=x", "state=gone", "subject=a&subject=b", "limit=0", "cursor=x"])
@pytest.mark.django_db
def test_an_invalid_query_is_refused(alice: Person, query: str) -> None:
    assert alice("GET", f"/deliveries?{query}").body["error"] == "InvalidRequest"


_NOT_CALLED = """
    http://hooks.example/ https://127.0.0.1/ https://[::1]/ https://10.0.0.1/ https://a:b@hooks.example/ enable DISABLE
    https://hooks.example:22/ https://100.64.0.1/ https://0x7f000001/ /path
"""


@pytest.mark.parametrize("callback", _NOT_CALLED.split())
def test_a_forbidden_callback_is_refused_when_the_job_is_sent(alice: Person, callback: str) -> None:
    agent = alice.add_agent()
    answer = alice("POST", "/jobs", {"agent": agent.id, "message": "x", "callback": callback})
    assert (answer.status, answer.body["error"]) == (400, "InvalidRequest")
    assert "callback" in answer.body["message"]


def test_an_address_is_kept_in_its_normal_form(alice: Person) -> None:
    job = alice.send(alice.add_agent(), callback="HTTPS://Bücher.example/ü#x")
    assert job["callback"] == "https://xn--bcher-kva.example/%C3%BC"


def test_the_secret_stays_until_it_is_rotated(alice: Person, charlie: Person) -> None:
    first = alice("GET", "/callbacks/secret").body
    assert first["secret"].startswith("whsec_")
    assert first["old_until"] is None
    assert alice("GET", "/callbacks/secret").body == first
    second = alice("POST", "/callbacks/secret").body
    assert second["secret"] != first["secret"]
    assert second["old_until"] is not None
    assert alice("GET", "/callbacks/secret").body == second
    assert charlie("GET", "/callbacks/secret").body["secret"] not in (first["secret"], second["secret"])


def test_the_stream_begins_now_and_goes_on(alice: Person, charlie: Person) -> None:
    agent = alice.add_agent()
    alice.send(agent, "before")
    begun = alice("GET", "/stream").body
    assert begun["items"] == []
    job = alice.send(agent, "date", source="ci")
    alice("POST", "/messages", {"text": "x"})
    charlie.send(charlie.add_agent())
    found = alice("GET", f"/stream?since={begun['next']}&wait=5").body
    assert [item["type"] for item in found["items"]] == ["job:status"]
    told = found["items"][0]["job"]
    assert (told["id"], told["status"], told["move"], told["seq"]) == (job["id"], "queuing", "submit", 1)
    assert alice("GET", f"/stream?since={found['next']}").body["items"] == []


@pytest.mark.parametrize("query", ["since=x", "since=", "wait=x", "since=AAAA&since=AAAA"])
@pytest.mark.django_db
def test_an_invalid_cursor_is_refused(alice: Person, query: str) -> None:
    assert alice("GET", f"/stream?{query}").status == 400


def test_a_held_stream_is_answered_when_something_happens(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    cursor = live_alice("GET", "/stream").body["next"]
    sender = threading.Timer(0.7, live_alice.send, (agent,))
    sender.start()
    began = time.monotonic()
    found = live_alice("GET", f"/stream?since={cursor}&wait=20").body["items"]
    sender.join()
    assert [item["job"]["agent_id"] for item in found] == [agent.id]
    assert 0.5 < time.monotonic() - began < 10


def test_the_upstream_program_sends_and_ends_jobs(system: None, alice: Person) -> None:
    agent = alice.add_agent()
    user_id = alice("GET", "/me").body["id"]
    body = {"user_id": user_id, "agent_id": agent.id, "message": "date", "callback": HOOK}
    headers = {"Idempotency-Key": "one"}
    made = alice.api("POST", "/sys/jobs", body, token=SYS_TOKEN, headers=headers)
    assert made.status == 204
    assert alice.api("POST", "/sys/jobs", body, token=SYS_TOKEN, headers=headers).headers == made.headers
    job = Job.objects.get()
    assert (job.owner_id, job.agent_id, job.message, job.source, job.callback) == (
        user_id, agent.id, "date", "system", HOOK,
    )  # fmt: skip
    expire = f"/sys/jobs/{job.pk}/expire"
    for _time in range(2):
        assert alice.api("PUT", expire, token=SYS_TOKEN).status == 204
    assert [(event.after, event.actor) for event in JobEvent.objects.order_by("pk")] == [
        ("queuing", "system"),
        ("expired", "system"),
    ]
    given = alice.give(agent)
    assert alice.api("PUT", f"/agent/jobs/{given}/succeed", {}, token=agent.token).status == 204
    refused = alice.api("PUT", f"/sys/jobs/{given}/expire", token=SYS_TOKEN)
    assert (refused.status, refused.body["error"]) == (400, "JobFinished")
    taken = alice.give(agent)
    assert alice.api("PUT", f"/sys/jobs/{taken}/expire", token=SYS_TOKEN).status == 204
    assert Job.objects.get(pk=taken).status == "expired"


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"user_id": "nobody"}, 404, "NotFound"),
        ({"user_id": 5}, 400, "InvalidRequest"),
        ({"agent_id": "nobody"}, 404, "AgentNotFound"),
        ({"agent_id": None}, 400, "InvalidRequest"),
        ({"message": " "}, 400, "InvalidMessage"),
        ({"callback": "https://10.0.0.1/"}, 400, "InvalidRequest"),
    ],
)
def test_the_upstream_program_gets_the_reason_of_a_refusal(
    system: None, alice: Person, change: dict[str, object], status: int, error: str
) -> None:
    body = {"user_id": alice("GET", "/me").body["id"], "agent_id": alice.add_agent().id, "message": "x", **change}
    answer = alice.api("POST", "/sys/jobs", body, token=SYS_TOKEN)
    assert (answer.status, answer.body["error"]) == (status, error)


def test_an_agent_of_the_upstream_program_has_the_original_shape(system: None, alice: Person) -> None:
    user_id = alice("GET", "/me").body["id"]
    path = f"/sys/users/{user_id}/agents"
    made = alice.api("POST", path, {"name": "roof", "unknown": [[]], "alias": "r1", "remark": "x"}, token=SYS_TOKEN)
    assert set(made.body) == {
        "id", "user_id", "available", "name", "alias", "remark", "ip", "activated_at", "created_at", "updated_at",
    }  # fmt: skip
    assert (made.body["user_id"], made.body["name"], made.body["available"]) == (user_id, "roof", False)
    assert alice.api("POST", path, {"name": "ROOF"}, token=SYS_TOKEN).status == 409
    assert alice.api("POST", "/sys/users/nobody/agents", {"name": "roof"}, token=SYS_TOKEN).status == 404


@pytest.mark.django_db
def test_without_a_system_token_there_is_nothing(alice: Person, settings: Any) -> None:
    settings.SYS_TOKEN = ""
    for method, path in (("POST", "/sys/jobs"), ("PUT", "/sys/jobs/x/expire"), ("POST", "/sys/users/x/agents")):
        for said in ("", "Bearer ", f"Bearer {SYS_TOKEN}"):
            assert alice.api(method, path, {}, headers={"Authorization": said}).status == 404
