"""`notify` over HTTP: accepted, shown, refused by its field's name; its memory can be deleted."""

from __future__ import annotations

import random

import pytest

from jobs.life.report import Report, ReportKind, report_jobs
from jobs.models import Job, WatchMemory
from jobs.transitions import Output
from jobs.watch.service import evaluate_ends
from kernel.ids import new_id
from tests.api.people import Person

pytestmark = pytest.mark.django_db


def test_jobs_of_agents_and_queues_take_a_policy_and_show_it(alice: Person) -> None:
    agent = alice.add_agent("box")
    assert alice("PUT", "/queues/pages", {"agent": "box"}).status == 201
    for path, target in (("/jobs", {"agent": agent.id}), ("/queues/pages/jobs", {})):
        body = {**target, "message": "look", "ttl": 60}
        made = alice("POST", path, {**body, "notify": {"name": "seats", "when": "change", "mention": ["all"]}})
        assert made.status == 201, made
        shown = alice("GET", f"/jobs/{made.body['id']}").body["notify"]
        assert (shown["name"], shown["when"], shown["mention"], shown["max_tries"]) == ("seats", "change", ["@all"], 1)
        # The answer is a valid request.
        assert alice("POST", path, {**body, "notify": shown}).status == 201
        plain = alice("POST", path, body)
        assert alice("GET", f"/jobs/{plain.body['id']}").body["notify"] is None
        for notify in ({"when": "change"}, {"name": "x", "mdoe": "diff"}, "change"):
            refused = alice("POST", path, {**body, "notify": notify})
            assert (refused.status, refused.body["error"]) == (400, "InvalidRequest"), notify


def test_a_schedule_takes_a_policy_and_forgets(alice: Person, charlie: Person) -> None:
    agent = alice.add_agent("box")
    schedule = {"name": "seats", "agent": "box", "message": "look", "cron": "@yearly"}
    assert alice("POST", "/schedules", {**schedule, "notify": {"when": "change", "name": "x"}}).status == 400
    made = alice("POST", "/schedules", {**schedule, "notify": {"when": "change", "confirm": 2}})
    assert (made.status, made.body["notify"]["confirm"]) == (201, 2)
    changed = alice("PATCH", "/schedules/seats", {"notify": {"when": "change"}})
    assert changed.body["notify"]["confirm"] == 1
    run = alice("POST", "/schedules/seats/run").body
    Job.objects.filter(pk=run["job_id"]).update(status="running")
    output = Output(text="Sat", exit_code=0)
    assert report_jobs(
        [Report(agent_id=agent.id, job_id=run["job_id"], kind=ReportKind.SUCCEED, output=output, request_id=new_id())]
    ) == [None]
    assert evaluate_ends() == 1
    assert WatchMemory.objects.get().content["lines"] == ["Sat"]
    assert charlie("POST", f"/schedules/{made.body['id']}/forget").status == 404
    assert WatchMemory.objects.get().content
    assert alice("POST", "/schedules/seats/forget").status == 204
    assert WatchMemory.objects.get().content == {}


def test_a_dear_expression_does_not_hold_up_anybody(live_alice: Person, live_charlie: Person) -> None:
    """The expression that once kept every write of the server waiting for 15 seconds at each try."""
    agent, other = live_alice.add_agent(), live_charlie.add_agent()
    watch = {"when": "change", "mode": "diff", "name": "w", "ignore": [".*a.{90}b.{90}c"]}
    chance = random.Random(1)
    page = "\n".join("".join(chance.choices("ab", k=999)) for _ in range(260))
    for _ in range(2):
        job = live_alice.send(agent, notify=watch)
        assert live_alice.poll(agent).status == 200
        ended = live_alice.api("PUT", f"/agent/jobs/{job['id']}/succeed", {"result": page}, token=agent.token)
        assert ended.status == 204
        live_charlie.send(other)
        assert live_alice("GET", f"/jobs/{job['id']}").body["status"] == "succeeded"
