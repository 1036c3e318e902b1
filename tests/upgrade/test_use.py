"""The product works on with the rows of the old version: what was due fires, what was sent ends, what follows starts.

The agent of these tests does everything that it is given. It fails `backup` once, so that its retry starts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lanes.live import LiveServer
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)  # the first test builds, migrates and serves the database

_TICK = """
from kernel.bells import ringer
from letserver.celery import app
app.loader.import_default_modules()
for name in {names!r}:
    app.tasks[name]()
ringer.wait_until_empty()
"""

_OF_NAS = Counter(
    {
        "backup": 2,
        "after backup": 1,
        "after that": 1,
        "rsync -a '/srv/my files'": 1,
        "flaky": 1,
        "fired once": 1,
        "tick": 2,
        "after tick": 2,
        "echo 'two words'": 1,
        "after delayed": 1,
        "after sent": 1,
    }
)
"""The jobs that the old rows order from the agent `nas`: two runs of a schedule, one of them due, and `backup` with a
retry.
"""

_OF_BUILD = Counter({"delayed compile": 1})


@dataclass(slots=True)
class Used:
    """The server after the agents have done everything; `jobs` holds what each agent did, in order."""

    server: LiveServer
    old: dict[str, Any]
    jobs: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"nas": [], "build": []})

    def get(self, path: str) -> Any:
        """Read as the owner."""
        status, body, _headers = self.server.call("GET", path, token=self.old["user_token"])
        assert status == 200, (path, status, body)
        return body

    def tick(self, *names: str) -> None:
        """Run tasks as the worker does when beat rings them."""
        self.server.manage("shell", "--no-imports", "--command", _TICK.format(names=names))

    def job(self, message: str) -> dict[str, Any]:
        """Return the last job with that message that an agent did, as its owner sees it."""
        ids = [job["id"] for jobs in self.jobs.values() for job in jobs if job["message"] == message]
        return dict(self.get(f"/jobs/{ids[-1]}"))

    def work(self, agent: str) -> Counter[str]:
        """Let an agent take and do what there is; return how often it has done each message."""
        token = self.old["agent_tokens"][agent]
        while (answer := self.server.call("GET", "/agent/job", token=token))[0] == 200:
            job = answer[1]
            fails = job["message"] == "backup" and "backup" not in [one["message"] for one in self.jobs[agent]]
            self.jobs[agent].append(job)
            self.report(agent, job["id"], "fail" if fails else "succeed")
        assert answer[0] == 204, answer
        return Counter(job["message"] for job in self.jobs[agent])

    def has_done_all(self) -> bool:
        """Let both agents work; return whether they have done as many jobs as the old rows order."""
        done = self.work("nas").total() >= _OF_NAS.total() and self.work("build").total() >= _OF_BUILD.total()
        if not done:
            self.tick("jobs.sweep_lost_bells")  # it finds a retry whose pause is over
        return done

    def report(self, agent: str, job_id: str, kind: str) -> None:
        """Report the end of a job."""
        token = self.old["agent_tokens"][agent]
        status, body, _headers = self.server.call(
            "PUT", f"/agent/jobs/{job_id}/{kind}", {"result": f"{kind} after the upgrade"}, token=token
        )
        assert status == 204, body


@pytest.fixture(scope="session")
def used(server: LiveServer, old: dict[str, Any]) -> Used:
    """The upgraded server after the scans for what is due and all the work that came of them."""
    used = Used(server, old)
    used.tick("jobs.release_delayed", "jobs.start_schedules")
    used.report("nas", old["ids"]["sent"], "succeed")
    used.report("nas", old["ids"]["expired"], "succeed")
    used.report("build", old["ids"]["compile"], "succeed")
    until(used.has_done_all, seconds=90)
    return used


def test_the_agent_gets_everything_that_the_old_rows_order_and_nothing_else(used: Used) -> None:
    assert used.work("nas") == _OF_NAS
    assert used.work("build") == _OF_BUILD


def test_a_due_delayed_job_fires_with_its_options(used: Used, old: dict[str, Any]) -> None:
    fired = used.get(f"/delayed-jobs/{old['ids']['delayed argv']}")
    job = used.job("echo 'two words'")
    assert (fired["state"], fired["job_id"]) == ("fired", job["id"])
    assert (job["status"], job["source"], job["callback"], job["retries"]) == ("succeeded", "shop", "disable", 1)
    assert used.get(f"/delayed-jobs/{old['ids']['delayed url']}")["state"] == "fired"
    assert used.get(f"/delayed-jobs/{old['ids']['delayed later']}")["state"] == "scheduled"
    queued = used.job("delayed compile")
    assert (queued["queue"], queued["priority"]) == ("lines", 3)


def test_a_due_schedule_runs_with_its_options(used: Used, old: dict[str, Any]) -> None:
    runs = used.get(f"/schedules/{old['ids']['schedule due']}/runs")["items"]
    started = [run for run in runs if run["outcome"] == "started"]
    assert {old["ids"]["schedule run"]} < {run["id"] for run in started}
    job = used.job("tick")
    assert job["id"] in {run["job_id"] for run in started}
    assert (job["status"], job["retries"], job["notify"]["max_tries"]) == ("succeeded", 1, 2)
    assert used.get(f"/schedules/{old['ids']['schedule due']}")["backoff"] == {"base": 2, "factor": 3, "limit": 60}


def test_a_retry_follows_a_failure_of_an_old_job(used: Used, old: dict[str, Any]) -> None:
    first, second = [job["id"] for job in used.jobs["nas"] if job["message"] == "backup"]
    assert first == old["ids"]["chain"]
    assert used.get(f"/jobs/{first}")["status"] == "failed"
    again = used.get(f"/jobs/{second}")
    assert (again["attempt"], again["status"], again["source"]) == (2, "succeeded", "ci")
    assert (used.job("flaky")["attempt"], used.job("flaky")["status"]) == (2, "succeeded")


def test_what_an_agent_had_before_the_upgrade_can_be_reported(used: Used, old: dict[str, Any]) -> None:
    for name in ("sent", "compile"):
        assert used.get(f"/jobs/{old['ids'][name]}")["status"] == "succeeded"
    late = used.get(f"/jobs/{old['ids']['expired']}")
    assert (late["late"], late["result"]) == (True, "succeed after the upgrade")
    assert used.get(f"/jobs/{old['ids']['running']}/log")["text"] == "line one\n"


def test_a_dead_letter_is_replayed(used: Used, old: dict[str, Any]) -> None:
    call, token = used.server.call, old["user_token"]
    dead = used.get("/queues/pulled/dead")["items"]
    assert [one["id"] for one in dead] == [old["ids"]["dead letter"]]
    assert call("POST", "/queues/pulled/dead/replay", {"ids": [old["ids"]["dead letter"]]}, token=token)[0] == 200
    pulled = []
    while (answer := call("GET", "/queues/pulled/next", token=token))[0] == 200:
        job = answer[1]
        pulled.append(job["message"])
        ack = {"ok": True, "offer": job["offer"]}
        assert call("POST", f"/queues/pulled/jobs/{job['id']}/ack", ack, token=token)[0] < 300
    assert sorted(pulled) == ["by a program", "dead once"]


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/jobs?limit=100", "jobs.Job"),
        ("/delayed-jobs?limit=100", "jobs.DelayedJob"),
        ("/schedules?limit=100", "jobs.Schedule"),
        ("/queues", "jobs.Queue"),
        ("/messages?limit=100", "notifications.Message"),
        ("/channels", "notifications.Channel"),
    ],
)
def test_the_owner_finds_every_old_row(path: str, label: str, used: Used, old: dict[str, Any]) -> None:
    owner_id = used.get("/me")["id"]
    ids = {row["id"] for row in old["rows"][label] if row["owner_id"] == owner_id}
    assert ids
    assert ids <= {item["id"] for item in used.get(path)["items"]}


def test_tokens_secrets_and_sessions_are_good(used: Used, old: dict[str, Any]) -> None:
    assert used.server.call("GET", "/me", token=old["revoked_token"])[0] == 401
    assert used.get("/callbacks/secret")["secret"] == old["signing"]["secret"]
    assert used.get("/state/last-run") == "2026-11-30\n"
    cookie = {"Cookie": f"sessionid={old['session']}"}
    status, page, _headers = used.server.call("GET", "/console/chat", headers=cookie)
    assert status == 200
    assert all(row["text"].splitlines()[0] in page for row in old["rows"]["chat.ChatLine"])


def test_a_request_that_is_repeated_after_the_upgrade_finds_its_old_row(used: Used, old: dict[str, Any]) -> None:
    """A client that did not receive the answer sends the same request again, perhaps to the new version."""
    for path, body, key, name in old["requests"]:
        again = used.server.call("POST", path, body, token=old["user_token"], headers={"Idempotency-Key": key})
        assert (again[0], again[1].get("id")) == (201, old["ids"][name]), again
