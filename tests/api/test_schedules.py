"""/schedules: create, replace, change, pause, run, preview; refusals and their texts."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from jobs.models import Job, Schedule, WorkCalendar
from jobs.schedules.calendars import SHIPPED, import_calendar, read_calendar_file
from kernel.strictjson import parse_object
from tests.api.people import Person

pytestmark = pytest.mark.django_db

_WHOLE: dict[str, Any] = {
    "name": "backup",
    "agent": "box",
    "message": "backup all",
    "cron": "0 30 2 * * MON-FRI",
    "timezone": "Asia/Shanghai",
    "calendar": "cn",
    "only_working_days": True,
    "jitter": "10m",
    "missed": {"policy": "all", "within": "2h"},
    "overlap": "queue",
    "blackout": [{"days": "mon-fri", "from": "23:00", "to": "01:00"}],
    "retry": 3,
    "backoff": [10, 60],
    "idempotent": True,
    "then": [{"on": "failure", "agent": "box", "message": "clean up"}],
    "notify": {"when": "edges", "max_tries": 2},
    "grace": "1h",
    "callback": "disable",
    "paused_until": "2030-01-01T00:00:00+08:00",
}


@pytest.fixture
def box(alice: Person) -> str:
    """The id of an agent, with the shipped calendar imported."""
    import_calendar(read_calendar_file(parse_object(SHIPPED.read_bytes())), actor="test")
    return alice.add_agent("box").id


def test_a_schedule_is_made_read_listed_changed_and_removed(alice: Person, charlie: Person, box: str) -> None:
    made = alice("POST", "/schedules", _WHOLE)
    assert made.status == 201, made
    assert made.headers["location"] == f"/schedules/{made.body['id']}"
    said = made.body
    for field in ("name", "message", "cron", "timezone", "calendar", "only_working_days", "jitter", "overlap", "retry"):
        assert said[field] == _WHOLE[field], field
    assert (said["agent_id"], said["agent"], said["queue"]) == (box, "box", None)
    assert (said["missed"], said["grace"]) == ({"policy": "all", "within": "2h"}, "1h")
    assert said["blackout"] == [{"from": "23:00", "to": "01:00", "days": "mon-fri"}]
    assert said["notify"]["when"] == "edges"
    assert said["paused_until"] == "2029-12-31T16:00:00.000000Z"
    assert said["next_at"].endswith(("18:30:00.000000Z",))
    # The answer is a valid request.
    again = alice("PUT", "/schedules/backup", {name: value for name, value in said.items() if name in _WHOLE})
    assert (again.status, again.body["id"], again.body["blackout"]) == (200, said["id"], said["blackout"])

    assert alice("GET", "/schedules?agent=box&enabled=true").body["items"][0]["id"] == said["id"]
    assert alice("GET", "/schedules?enabled=false").body == {"items": [], "next": None}
    assert alice("GET", "/schedules?enabled=perhaps").status == 400
    changed = alice("PATCH", "/schedules/backup", {"grace": None, "name": "nightly", "notify": None})
    assert (changed.body["grace"], changed.body["name"], changed.body["cron"]) == (None, "nightly", _WHOLE["cron"])
    assert alice("GET", f"/schedules/{said['id']}").body == changed.body
    assert alice("GET", "/schedules/backup").body["error"] == "ScheduleNotFound"
    assert charlie("GET", f"/schedules/{said['id']}").status == 404
    assert alice("DELETE", "/schedules/nightly").status == 204
    assert not Schedule.objects.exists()


def test_put_makes_a_schedule_and_leaves_nothing_of_the_one_before(alice: Person, box: str) -> None:
    plain = {"agent": box, "message": "x", "cron": "@hourly"}
    first = alice("PUT", "/schedules/tick", {**plain, "grace": "5m", "overlap": "allow", "jitter": 30})
    assert first.status == 201, first
    second = alice("PUT", "/schedules/tick", plain)
    assert (second.status, second.body["id"]) == (200, first.body["id"])
    assert [second.body[field] for field in ("grace", "overlap", "jitter")] == [None, "skip", "0s"]
    assert alice("PUT", "/schedules/tick", {**plain, "name": "tock"}).status == 400
    assert alice("PUT", f"/schedules/{first.body['id']}", {**plain, "name": "tock"}).body["name"] == "tock"
    assert alice("PUT", "/schedules/00000000-0000-7000-8000-000000000000", plain).status == 404


def test_it_is_paused_resumed_and_run_by_hand(alice: Person, box: str) -> None:
    alice("PUT", "/schedules/tick", {"agent": box, "message": "x", "cron": "@hourly"})
    until = alice("POST", "/schedules/tick/pause", {"until": "2030-01-01T00:00:00Z"})
    assert (until.body["enabled"], until.body["paused_until"][:10]) == (True, "2030-01-01")
    off = alice("POST", "/schedules/tick/pause", {})
    assert (off.body["enabled"], off.body["next_at"]) == (False, None)
    run = alice("POST", "/schedules/tick/run", headers={"Idempotency-Key": "k"})
    assert (run.status, run.body["outcome"], run.body["reason"]) == (201, "started", "by_hand")
    assert alice("POST", "/schedules/tick/run", headers={"Idempotency-Key": "k"}).body == run.body
    assert Job.objects.get().parent_id == off.body["id"]
    assert alice("GET", f"/jobs/{run.body['job_id']}").body["status"] == "queuing"
    assert alice("GET", "/schedules/tick/runs").body == {"items": [run.body], "next": None}
    on = alice("POST", "/schedules/tick/resume")
    assert (on.body["enabled"], on.body["paused_until"]) == (True, None)
    assert on.body["next_at"] is not None


def test_a_preview_shows_the_next_runs_and_warnings(alice: Person, box: str) -> None:
    del box
    timing = {"cron": "0 9 * * 1-5", "timezone": "Asia/Shanghai", "calendar": "cn", "only_working_days": True}
    said = alice("POST", "/schedules/preview", timing).body
    assert len(said["runs"]) == 10
    assert all(run["local"].endswith("T09:00:00+08:00") for run in said["runs"])
    assert set(said["sentences"]) == {"zh-hans", "en"}
    assert "Asia/Shanghai" in said["sentences"]["en"]
    assert said["warnings"] == []
    WorkCalendar.objects.update(known_until="2026-01-01")
    assert "2026-01-01" in alice("POST", "/schedules/preview", timing).body["warnings"][0]
    alice("PUT", "/schedules/work", {**timing, "agent": "box", "message": "x"})
    assert alice("GET", "/schedules/work/preview").body["runs"] == said["runs"]
    night = {"cron": "0 3 * * *", "blackout": [{"from": "02:00", "to": "04:00"}]}
    assert alice("POST", "/schedules/preview", night).body["runs"] == []


def test_invalid_schedules_are_refused_with_a_reason(alice: Person, box: str) -> None:
    plain = {"name": "tick", "agent": box, "message": "x", "cron": "@hourly"}
    assert alice("POST", "/schedules", plain).status == 201
    refused: list[tuple[dict[str, Any], int, str]] = [
        ({}, 409, "NameTaken"),
        ({"name": "a b"}, 400, "InvalidRequest"),
        ({"name": "a/b"}, 400, "InvalidRequest"),
        ({"name": "preview"}, 400, "InvalidRequest"),
        ({"name": "x" * 65}, 400, "InvalidRequest"),
        ({"name": "t", "cron": "0 0 30 2 *"}, 400, "InvalidSchedule"),
        ({"name": "t", "cron": "x"}, 400, "InvalidSchedule"),
        ({"name": "t", "cron": "* * * * * *"}, 400, "InvalidSchedule"),
        ({"name": "t", "cron": "0,5 * * * * *"}, 400, "InvalidSchedule"),
        ({"name": "t", "timezone": "Mars/Base"}, 400, "InvalidSchedule"),
        ({"name": "t", "agent": "nobody"}, 404, "AgentNotFound"),
        ({"name": "t", "queue": "line"}, 400, "InvalidRequest"),
        ({"name": "t", "agent": None, "queue": "line"}, 404, "QueueNotFound"),
        ({"name": "t", "agent": None}, 400, "InvalidRequest"),
        ({"name": "t", "message": " "}, 400, "InvalidMessage"),
        ({"name": "t", "calendar": "mars"}, 404, "NotFound"),
        ({"name": "t", "only_working_days": True}, 400, "InvalidRequest"),
        ({"name": "t", "missed": "all"}, 400, "InvalidRequest"),
        ({"name": "t", "missed": {"policy": "none"}}, 400, "InvalidRequest"),
        ({"name": "t", "missed": {"within": "8d"}}, 400, "InvalidDuration"),
        ({"name": "t", "overlap": "both"}, 400, "InvalidRequest"),
        ({"name": "t", "jitter": "2h"}, 400, "InvalidDuration"),
        ({"name": "t", "cron": "@every 1m", "jitter": "5m"}, 400, "InvalidRequest"),
        ({"name": "t", "grace": "soon"}, 400, "InvalidDuration"),
        ({"name": "t", "blackout": [{"from": "25:00", "to": "01:00"}]}, 400, "InvalidRequest"),
        ({"name": "t", "blackout": [{"from": "23:00", "to": "01:00", "tz": "x"}]}, 400, "InvalidRequest"),
        ({"name": "t", "retry": 11}, 400, "InvalidRequest"),
        ({"name": "t", "notify": {"whenn": "change"}}, 400, "InvalidRequest"),
    ]
    answers = [alice("POST", "/schedules", plain | change) for change, _status, _code in refused]
    said = [
        (change, answer.status, answer.body["error"]) for (change, *_), answer in zip(refused, answers, strict=True)
    ]
    assert said == refused
    assert Schedule.objects.count() == 1


def test_how_many_and_how_often_has_a_limit_but_not_for_staff(alice: Person, bob: Person, settings: Any) -> None:
    settings.SCHEDULES_PER_USER = 1
    plain = {"message": "x", "cron": "@hourly"}
    often = {"cron": "* * * * * *"}
    for person, status in ((alice, (201, 409, 400)), (bob, (201, 201, 200))):
        agent = person.add_agent().id
        assert person("PUT", "/schedules/one", plain | {"agent": agent}).status == status[0]
        assert person("PUT", "/schedules/two", plain | {"agent": agent}).status == status[1]
        # An existing schedule may be replaced at the limit.
        assert person("PUT", "/schedules/one", plain | {"agent": agent}).status == 200
        assert person("PATCH", "/schedules/one", often).status == status[2]
    assert User.objects.get(username="bob").is_staff
