"""Delayed jobs over HTTP: the original's call for agents, and ours."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils.dateparse import parse_datetime

from jobs.models import DelayedJob
from kernel.clock import database_now, rfc3339
from tests.api.people import Answer, Person, TheirAgent

pytestmark = pytest.mark.django_db

_DAY = 86_400
_PATH = "/delayed-jobs"


@pytest.fixture
def shop(alice: Person) -> TheirAgent:
    """An agent of alice."""
    return alice.add_agent("店铺", alias="shop")


def _delay(person: Person, **fields: Any) -> Answer:
    headers = fields.pop("headers", None)
    return person("POST", _PATH, {"agent": "shop", "message": "close 123", "delay": "15d"} | fields, headers=headers)


def _seconds_ahead(moment: str) -> float:
    due_at = parse_datetime(moment)
    assert due_at is not None
    return (due_at - database_now()).total_seconds()


def test_an_order_closes_itself_after_fifteen_days(alice: Person, shop: TheirAgent) -> None:
    made = _delay(alice, key="order-123", callback="disable", source="shop")
    assert made.status == 201
    assert made.headers["location"] == f"{_PATH}/{made.body['id']}"
    assert _seconds_ahead(made.body["due_at"]) == pytest.approx(15 * _DAY, abs=60)
    said = {name: made.body[name] for name in ("agent", "agent_id", "message", "key", "state", "job_id", "callback")}
    assert said == {
        "agent": "店铺", "agent_id": shop.id, "message": "close 123", "key": "order-123", "state": "scheduled",
        "job_id": None, "callback": "disable",
    }  # fmt: skip
    assert alice("GET", made.headers["location"]).body == made.body
    assert alice("GET", f"{_PATH}?key=order-123&state=scheduled&agent=shop").body == {
        "items": [made.body], "next": None,
    }  # fmt: skip


def test_one_under_a_taken_key_is_refused_kept_postponed_or_replaced(alice: Person, shop: TheirAgent) -> None:
    first = _delay(alice, key="order-1").body
    refused = _delay(alice, key="order-1")
    assert (refused.status, refused.body["error"]) == (409, "KeyTaken")
    assert first["id"] in refused.body["message"]
    kept = _delay(alice, key="order-1", if_exists="keep", message="other")
    assert (kept.status, kept.body) == (200, first)
    moved = _delay(alice, key="order-1", if_exists="postpone", delay="30d")
    assert (moved.status, moved.body["id"]) == (200, first["id"])
    assert _seconds_ahead(moved.body["due_at"]) == pytest.approx(30 * _DAY, abs=60)
    new = _delay(alice, key="order-1", if_exists="replace", message="other")
    assert (new.status, new.body["message"]) == (201, "other")
    old = alice("GET", f"{_PATH}/{first['id']}").body
    assert (old["state"], old["reason"]) == ("canceled", "replaced")
    canceled = alice("DELETE", f"{_PATH}?key=order-1")
    assert (canceled.status, canceled.body["id"], canceled.body["state"]) == (200, new.body["id"], "canceled")
    assert alice("DELETE", f"{_PATH}?key=order-1").status == 404
    assert alice("DELETE", _PATH).status == 400


def test_it_is_postponed_fired_by_hand_once_and_then_unchangeable(alice: Person, shop: TheirAgent) -> None:
    path = f"{_PATH}/{_delay(alice).body['id']}"
    later = alice("PATCH", path, {"delay": 3600, "message": "close 124"})
    assert _seconds_ahead(later.body["due_at"]) == pytest.approx(3600, abs=60)
    fired = [alice("POST", f"{path}/fire") for _ in range(2)]
    assert [(one.status, one.body["state"]) for one in fired] == [(200, "fired")] * 2
    job = alice("GET", f"/jobs/{fired[0].body['job_id']}").body
    assert (job["message"], job["agent_id"], job["status"]) == ("close 124", shop.id, "queuing")
    assert alice.api("GET", "/agent/job", token=shop.token).body == {"id": job["id"], "message": "close 124"}
    refused = [alice("PATCH", path, {"message": "x"}), alice("DELETE", path)]
    assert [(one.status, one.body["error"]) for one in refused] == [(409, "NotScheduled")] * 2
    other = f"{_PATH}/{_delay(alice).body['id']}"
    assert [alice("DELETE", other).body["state"] for _ in range(2)] == ["canceled"] * 2
    assert alice("POST", f"{other}/fire").status == 409


def test_due_is_a_delay_or_a_time_with_a_zone(alice: Person, shop: TheirAgent) -> None:
    def due(**moment: Any) -> str:
        made = _delay(alice, **{"delay": None} | moment)
        assert made.status == 201, made
        return str(made.body["due_at"])

    now = database_now()
    day = (now + dt.timedelta(days=2)).replace(hour=3, minute=0, second=0, microsecond=0)
    noon = f"{day:%Y-%m-%d}T11:00:00"
    assert due(run_at=f"{noon}+08:00") == due(run_at=noon, timezone="Asia/Shanghai") == rfc3339(day)
    seconds = {"90s": 90, "1h30m": 5400, "2w": 14 * _DAY, "2小时": 7200, 45: 45, "400d": 400 * _DAY}
    found = {written: _seconds_ahead(due(delay=written)) for written in seconds}
    assert found == pytest.approx(seconds, abs=60)


def test_the_clocks_that_go_forward_and_back(alice: Person, shop: TheirAgent) -> None:
    """A local time that occurs twice means the first; one that is skipped moves forward by the skipped span."""
    from jobs.delayed.wire import _local_moment

    assert rfc3339(_local_moment("2027-03-28T02:30:00", "Europe/Berlin")) == "2027-03-28T01:30:00.000000Z"
    assert rfc3339(_local_moment("2027-10-31T02:30:00", "Europe/Berlin")) == "2027-10-31T00:30:00.000000Z"


def test_an_invalid_field_is_refused_by_its_name(alice: Person, shop: TheirAgent) -> None:
    alice("POST", _PATH, {"agent": "shop", "message": "x", "delay": "1d", "key": "taken"})
    wrong: list[tuple[dict[str, Any], int, str]] = [
        ({"delay": "0s"}, 400, "InvalidDuration"),
        ({"delay": "500ms"}, 400, "InvalidDuration"),
        ({"delay": "401d"}, 400, "InvalidDuration"),
        ({"delay": "soon"}, 400, "InvalidDuration"),
        ({"delay": 1.5}, 400, "InvalidDuration"),
        ({"delay": "9999999999999w"}, 400, "InvalidDuration"),
        ({"delay": None}, 400, "InvalidDuration"),
        ({"run_at": "2030-01-31T08:00:00Z"}, 400, "InvalidRequest"),
        ({"delay": None, "run_at": "2000-01-31T08:00:00Z"}, 400, "InvalidDuration"),
        ({"delay": None, "run_at": "2030-01-31T08:00:00"}, 400, "InvalidRequest"),
        ({"delay": None, "run_at": "2030-01-31T08:00:00Z", "timezone": "Asia/Shanghai"}, 400, "InvalidRequest"),
        ({"delay": None, "run_at": "2030-01-31T08:00:00", "timezone": "../etc"}, 400, "InvalidRequest"),
        ({"delay": None, "run_at": "2030-01-31T08:00:00", "timezone": "Mars/Base"}, 400, "InvalidRequest"),
        ({"delay": None, "run_at": "9999-12-31T23:59:59", "timezone": "Etc/GMT+12"}, 400, "InvalidDuration"),
        ({"delay": None, "run_at": 5, "timezone": "Asia/Shanghai"}, 400, "InvalidRequest"),
        ({"timezone": "Asia/Shanghai"}, 400, "InvalidRequest"),
        ({"agent": None}, 400, "InvalidRequest"),
        ({"queue": "q"}, 400, "InvalidRequest"),
        ({"agent": None, "queue": "nowhere"}, 404, "QueueNotFound"),
        ({"agent": None, "url": "http://10.0.0.1/x"}, 400, "InvalidRequest"),
        ({"agent": None, "url": "ftp://example.org"}, 400, "InvalidRequest"),
        ({"agent": "nobody"}, 404, "AgentNotFound"),
        ({"agent": "x" * 101}, 400, "InvalidRequest"),
        ({"message": " "}, 400, "InvalidMessage"),
        ({"message": None}, 400, "InvalidMessage"),
        ({"key": "x" * 256}, 400, "InvalidRequest"),
        ({"key": 5}, 400, "InvalidRequest"),
        ({"key": "taken", "if_exists": "fail"}, 400, "InvalidRequest"),
        ({"key": "taken", "if_exists": []}, 400, "InvalidRequest"),
        ({"priority": 1001}, 400, "InvalidRequest"),
        ({"idempotent": "yes"}, 400, "InvalidRequest"),
        ({"callback": "off"}, 400, "InvalidRequest"),
        ({"source": "chat:x"}, 400, "InvalidRequest"),
    ]
    answers = [(fields, _delay(alice, **fields)) for fields, _status, _code in wrong]
    found = [(fields, answer.status, answer.body["error"]) for fields, answer in answers]
    assert found == wrong
    assert DelayedJob.objects.count() == 1
    path = f"{_PATH}/{DelayedJob.objects.get().pk}"
    assert alice("PATCH", path, {}).status == 200
    for body in ({"delay": "0s"}, {"message": ""}, {"run_at": "x"}, {"callback": 5}, {"key": "x"}):
        assert alice("PATCH", path, body).status == 400, body
    for query in ("state=gone", "due_after=soon", "limit=0", "cursor=x", "agent=nobody"):
        assert alice("GET", f"{_PATH}?{query}").status in (400, 404), query


def test_the_same_request_with_a_key_makes_one(alice: Person, shop: TheirAgent) -> None:
    same = [_delay(alice, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [one.status for one in same] == [201, 201]
    assert same[0].body == same[1].body
    assert _delay(alice, message="other", headers={"Idempotency-Key": "k"}).status == 422
    assert DelayedJob.objects.count() == 1


def test_other_users_do_not_see_it(alice: Person, shop: TheirAgent, charlie: Person) -> None:
    path = f"{_PATH}/{_delay(alice, key='order-1').body['id']}"
    calls = (("GET", "", None), ("PATCH", "", {"message": "x"}), ("DELETE", "", None), ("POST", "/fire", None))
    assert [charlie(method, path + more, body).status for method, more, body in calls] == [404] * 4
    assert charlie("GET", _PATH).body["items"] == []
    assert charlie("DELETE", f"{_PATH}?key=order-1").status == 404


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"duration": "1h2m3s"}, 3723),
        ({"duration": "360h0m0s", "days": 3, "minutes": 1}, 15 * _DAY),
        ({"duration": "1.5h"}, 5400),
        ({"duration": "", "days": 1, "hours": 2, "minutes": 3}, _DAY + 2 * 3600 + 180),
        ({"minutes": 1}, 60),
    ],
)
def test_an_agent_delays_a_job_to_itself(body: Any, seconds: int, alice: Person, shop: TheirAgent) -> None:
    sent = {"message": "status 5", "callback": "disable", **body}
    answer = alice.api("POST", "/agent/job/delayed", sent, token=shop.token)
    assert (answer.status, answer.body) == (201, None)
    (row,) = alice("GET", _PATH).body["items"]
    assert (row["agent_id"], row["message"], row["callback"]) == (shop.id, "status 5", "disable")
    assert row["source"] == f"agent:{shop.id}"
    assert _seconds_ahead(row["due_at"]) == pytest.approx(seconds, abs=60)


def test_an_agents_call_without_a_duration_is_refused_with_the_originals_code(alice: Person, shop: TheirAgent) -> None:
    wrong: list[Any] = [
        {}, {"duration": "0s"}, {"duration": "90"}, {"duration": "-1h"}, {"duration": 60}, {"days": 0, "hours": 0},
        {"days": 401}, {"days": "1"}, {"days": -1, "hours": 30}, {"minutes": 1.5}, {"days": 10**7},
    ]  # fmt: skip
    answers = [alice.api("POST", "/agent/job/delayed", {"message": "x"} | body, token=shop.token) for body in wrong]
    assert [(one.status, one.body["error"]) for one in answers] == [(400, "InvalidDuration")] * len(wrong)
    for message in (None, "", 5, "x" * 5000):
        answer = alice.api("POST", "/agent/job/delayed", {"message": message, "minutes": 1}, token=shop.token)
        assert (answer.status, answer.body["error"]) == (400, "InvalidMessage")
    assert alice("POST", "/agent/job/delayed", {"message": "x", "minutes": 1}).status == 403


def test_query_counts_of_creating_and_listing(alice: Person, shop: TheirAgent) -> None:
    from tests.api.test_query_counts import _queries

    body = {"agent": "shop", "message": "x", "delay": "15d", "key": "order-1"}
    # Token; the earlier attempt, the agent by name, the scheduled job with the key, the insert; the owner and how many
    # of their delayed jobs are scheduled, once for a tenth of the room that is left.
    assert _queries(alice, "POST", _PATH, body, token=alice.full) == 7
    assert _queries(alice, "POST", _PATH, body | {"key": "order-2"}, token=alice.full) == 5
    for number in range(5):
        _delay(alice, key=str(number))
    assert _queries(alice, "GET", _PATH, token=alice.full) == 2
