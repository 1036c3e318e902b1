"""An error about a value names its field, wherever it stands; names of agents, queues and channels are looked up."""

from __future__ import annotations

import time
from typing import Any

import pytest

from jobs.models import DelayedJob, Job, Schedule
from kernel.errors import InvalidRequest
from kernel.strictjson import parse_value
from tests.api.people import Person, TheirAgent

_NOTIFY: dict[str, Any] = {"notify": {"channels": ["nowhere"]}}
_LAST = {"on": "failure", "queue": "q", "message": "c"}
_DEEP: dict[str, Any] = {"then": [{"on": "success", "agent": "shop", "message": "b", "then": [_LAST]}]}


@pytest.fixture
def shop(alice: Person) -> TheirAgent:
    return alice.add_agent(name="shop")


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/schedules", {"cron": ""}, "cron must be text that is not empty."),
        ("/schedules", {"name": ""}, "name must be text that is not empty."),
        ("/schedules", {"timezone": ""}, "timezone must be text that is not empty."),
        ("/schedules", {}, "name is missing."),
        ("/schedules", {"name": "s", "grace": "10y"}, "grace: Write a length of time such as 90s, 1h30m or 15d."),
        ("/schedules", {"name": "s", "grace": "100d"}, "grace is 1s to 30d."),
        ("/schedules", {"name": "s", "jitter": "2h"}, "jitter is 0s to 1h."),
        (
            "/schedules",
            {"name": "s", "blackout": [{"dayz": "mon", "from": "01:00", "to": "02:00"}]},
            "blackout[0].dayz is not a field here. Did you mean blackout[0].days?",
        ),
        ("/schedules", {"name": "s", "blackout": ["mon"]}, "blackout[0] must be an object."),
        (
            "/schedules",
            {"name": "s", "blackout": [{"from": "01:00", "to": "25:00"}]},
            'blackout[0] is written so: {"days": "mon-fri", "from": "23:00", "to": "07:00"}.',
        ),
        ("/schedules", {"name": "s", "notify": {"delta": 1}}, "notify.delta is for the mode value."),
        ("/delayed-jobs", {"delay": "10y"}, "delay: Write a length of time such as 90s, 1h30m or 15d."),
        ("/jobs", {"priority": 1}, "priority belongs to a queue. Send queue in place of agent."),
        ("/jobs", {"rate_key": "k"}, "rate_key belongs to a queue. Send queue in place of agent."),
        ("/jobs", {"notify": {"max_tries": 0}}, "notify.max_tries must be a whole number from 1 to 1000."),
        ("/jobs", {"notify": {"name": 5}}, "notify.name must be text."),
        ("/jobs", {"notify": {"mode": "json"}}, "notify.path is needed: what to compare."),
        ("/jobs", {"then": {"on": "success", "agent": "shop", "message": "x"}}, "then is a list of 1 to 5 jobs."),
        (
            "/jobs",
            {"then": [{"on": "success", "agent": "shop", "message": "x", "then": []}]},
            "then[0].then is a list of 1 to 5 jobs.",
        ),
        ("/jobs", {"": 1}, '"" is not a field here.'),
    ],
)
def test_the_error_names_the_field(
    alice: Person, shop: TheirAgent, path: str, body: dict[str, Any], sentence: str
) -> None:
    timing = {"/schedules": {"cron": "@yearly"}, "/delayed-jobs": {"delay": "1h"}}.get(path, {})
    refused = alice("POST", path, {"agent": "shop", "message": "x", **timing, **body})
    assert (refused.status, refused.body["message"]) == (400, sentence)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b'{"a": 1, "a": 2}', "a was sent twice."),
        (rb'{"\ud800": 1, "\ud800": 2}', "The text holds U+D800, which cannot be kept."),
        (b'{"a": NaN}', "The body has the number NaN. Numbers have at most 20 digits, and NaN and Infinity are none."),
        (
            b'{"a": ' + b"1" * 5000 + b"}",
            f"The body has the number {'1' * 20}. Numbers have at most 20 digits, and NaN and Infinity are none.",
        ),
        (b'{"a": 1,\n "b" 2}', "The body is not JSON. Line 2, character 6: A colon is missing after the name."),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_its_place(alice: Person, raw: bytes, sentence: str) -> None:
    refused = alice("POST", "/jobs", raw=raw)
    assert (refused.status, refused.body["message"]) == (400, sentence)


def test_the_name_sent_twice_is_found_in_one_pass() -> None:
    names = b",".join(b'"%d":1' % number for number in range(200_000))
    start = time.thread_time()
    with pytest.raises(InvalidRequest) as refused:
        parse_value(b"{" + names + b',"199999":2}')
    assert refused.value.params == {"field": "199999"}
    assert time.thread_time() - start < 10


@pytest.mark.parametrize("path", ["/jobs", "/delayed-jobs", "/schedules"])
def test_an_empty_agent_in_a_query_is_refused(alice: Person, path: str) -> None:
    refused = alice("GET", f"{path}?agent=")
    assert (refused.status, refused.body["message"]) == (400, "agent must be text that is not empty.")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (_NOTIFY, "notify.channels: There is no channel called nowhere."),
        (_DEEP, "then[0].then[0]: There is no queue called q."),
        ({"then": [{"on": "failure", "agent": "gone", "message": "b"}]}, "then[0]: There is no agent called gone."),
        (
            {"then": [{"on": "failure", "agent": "shop", "message": "b", **_NOTIFY}]},
            "then[0].notify.channels: There is no channel called nowhere.",
        ),
    ],
)
def test_an_order_that_names_what_does_not_exist_is_refused(
    alice: Person, shop: TheirAgent, options: dict[str, Any], sentence: str
) -> None:
    order = {"agent": "shop", "message": "a", **options}
    schedule, delayed = {"name": "s", "cron": "@yearly"}, {"delay": "1h"}
    alice("PUT", "/queues/mine", {"agent": "shop"})
    queued = {name: value for name, value in order.items() if name != "agent"}
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/jobs", order),
        ("POST", "/queues/mine/jobs", queued),
        ("POST", "/delayed-jobs", order | delayed),
        ("POST", "/schedules", order | schedule),
        ("PUT", "/schedules/s", order | schedule),
    ]
    for method, path, body in calls:
        refused = alice(method, path, body)
        assert (refused.status, refused.body["message"]) == (400, sentence), path
    in_a_list = alice("POST", "/queues/mine/jobs", [queued, {"message": "good"}]).body["items"]
    assert (in_a_list[0]["status"], in_a_list[0]["message"]) == (400, sentence)
    assert in_a_list[1]["status"] == 201
    plain = {"agent": "shop", "message": "a"}
    for kind, timing in (("schedules", schedule), ("delayed-jobs", delayed)):
        path = f"/{kind}/{alice('POST', f'/{kind}', plain | timing).body['id']}"
        refused = alice("PATCH", path, options)
        assert (refused.status, refused.body["message"]) == (400, sentence), path
        # Changes of other fields go on working.
        assert alice("PATCH", path, {"message": "b"}).status == 200
    assert (Job.objects.count(), Schedule.objects.count(), DelayedJob.objects.count()) == (1, 1, 1)


def test_a_schedule_that_was_read_can_be_put_again(alice: Person, shop: TheirAgent) -> None:
    made = alice("POST", "/schedules", {"agent": "shop", "message": "x", "name": "s", "cron": "@yearly", "retry": 2})
    computed = ("id", "agent_id", "next_at", "expected_at", "alerted_at", "created_at", "updated_at")
    body = {name: value for name, value in made.body.items() if name not in computed}
    again = alice("PUT", "/schedules/s", body)
    assert again.status == 200, again
    assert {**again.body, "updated_at": ""} == {**made.body, "updated_at": ""}


@pytest.mark.parametrize("body", [{}, {"message": None}, {"agent": None}, {"argv": None}, {"queue": None}])
def test_a_change_of_nothing_changes_nothing(alice: Person, shop: TheirAgent, body: dict[str, Any]) -> None:
    plain = {"agent": "shop", "message": "a"}
    for path, timing in (("/schedules", {"name": "s", "cron": "@yearly"}), ("/delayed-jobs", {"delay": "1h"})):
        made = alice("POST", path, plain | timing).body
        changed = alice("PATCH", f"{path}/{made['id']}", body)
        assert changed.status == 200
        assert {**changed.body, "updated_at": ""} == {**made, "updated_at": ""}
