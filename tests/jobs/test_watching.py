"""Notices of jobs with `notify`, through the services that end jobs."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from accounts.credentials import Principal, TokenKind
from accounts.models import User
from agents.models import Agent
from jobs.api.reading import read_submission
from jobs.delayed.release import fire_delayed
from jobs.delayed.service import DelayedRef
from jobs.life.cancel import cancel_job
from jobs.life.overdue import expire_overdue_jobs
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.life.submit import Submission
from jobs.models import Job, JobOutput, Schedule, WatchMemory
from jobs.schedules.jobs import run_now
from jobs.schedules.service import create_schedule, delete_schedule
from jobs.transitions import Output
from jobs.watch import service as watching
from jobs.watch.policy import policy_json, read_policy
from jobs.watch.service import evaluate_ends, forget_schedule
from kernel.clock import database_now
from kernel.errors import InvalidRequest
from kernel.strictjson import JsonObject
from kernel.transactions import run_one
from notifications.channels.service import create_channel
from notifications.deliveries.claim import claim_next
from notifications.deliveries.sending import send_message
from notifications.drivers.wecom_robot import WeComRobot
from notifications.models import Channel, Level, Message
from tests.factories import claim, gateway_alive, make_agent, make_job, make_user, schedule_fields
from tests.jobs.delayed_rows import delay

pytestmark = pytest.mark.django_db

_HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def _in_english(settings: Any) -> Iterator[None]:
    """Use English for owners without a language, and for callers."""
    settings.LANGUAGE_CODE = "en"
    with translation.override("en"):
        yield


def end(agent: Agent, text: str = "", code: int = 0, *, reason: str = "", now: dt.datetime | None = None) -> Job:
    """Let the agent claim its next job and end it with this output and exit code."""
    job = claim(agent, now=now)
    assert job is not None
    kind = ReportKind.SUCCEED if code == 0 else ReportKind.FAIL
    output = Output(text=text, exit_code=code, reason=reason)
    assert report_jobs([Report(agent_id=agent.pk, job_id=job.pk, kind=kind, output=output)], now=now) == [None]
    evaluate_all()
    return job


def evaluate_all() -> None:
    """Evaluate the ends that are due."""
    while evaluate_ends():
        continue


def watch(agent: Agent, text: str = "", code: int = 0, *, notify: JsonObject, **more: Any) -> Job:
    """Submit a job with this policy and end it."""
    make_job(agent, "check", notify=notify, **more)
    return end(agent, text, code)


def told(agent: Agent) -> list[str]:
    """Evaluate what is due; return titles and texts of the notices to the agent's owner, oldest first."""
    evaluate_all()
    messages = Message.objects.filter(owner_id=agent.owner_id, agent_id=agent.pk).order_by("pk")
    return [f"{one.title}|{one.text}" for one in messages]


def schedule_of(agent: Agent, **fields: Any) -> Schedule:
    """A schedule whose next run is far away."""
    said = {"name": "seats", "agent": agent.pk, "message": "check", "cron": "@yearly", **fields}
    return create_schedule(owner_id=agent.owner_id, fields=schedule_fields(said), actor="test")


def run(schedule: Schedule, text: str = "", code: int = 0, **more: Any) -> Job:
    """Fire the schedule and end its job."""
    run_now(schedule, actor="test")
    return end(Agent.objects.get(pk=schedule.agent_id), text, code, **more)


_CHANGE: JsonObject = {"when": "change"}
_Steps = tuple[tuple[str, int] | str, ...]
_TABLE: tuple[tuple[str, JsonObject, _Steps, list[str]], ...] = (
    ("diff", _CHANGE, ("a\nb", "b\na", "a\nb\nc", "a\nc"), ["x has changed|+ c", "x has changed|- b"]),
    ("blank pages", _CHANGE, ("a", "", " \n", "a", "a\nb"), ["x has changed|+ b"]),
    (
        "new items",
        {**_CHANGE, "mode": "new-items"},
        ("", "Sat", "", "Sat", "Sat\nSun"),
        ["x: 1 new|+ Sat", "x: 1 new|+ Sun"],
    ),
    (
        "value",
        {**_CHANGE, "mode": "value", "below": 1000},
        ("1,299", "1,100", "999", "998"),
        ["x: 1100 → 999|+ 999\n- 1100"],
    ),
    (
        "json",
        {**_CHANGE, "mode": "json", "path": "a"},
        ('{"a": 1, "b": 1}', '{"b": 2, "a": 1}', '{"a": 2}'),
        ["x has changed|+ 2\n- 1"],
    ),
    ("exit", {**_CHANGE, "mode": "exit"}, (("", 0), ("", 3), ("", 3)), ["x: 0 → 3|+ 3\n- 0"]),
    ("script", {**_CHANGE, "mode": "script"}, (("no", 0), ("yes", 10), ("no", 0)), ["x has news|yes"]),
    ("always", {"when": "always"}, ("a", ("b", 1)), ["x is done|a", "x failed|Exit code 1.\nb"]),
    (
        "failure",
        {"when": "failure"},
        ("a", ("b", 1), ("b", 1)),
        ["x failed|Exit code 1.\nb", "x failed 2 times in a row|Exit code 1.\nb"],
    ),
    (
        "edges after three",
        {"when": "edges", "max_tries": 3},
        ("a", ("b", 1), ("b", 1), "a", *[("b", 1)] * 5, "c", "c"),
        ["x failed 3 times in a row|Exit code 1.\nb", "x works again|c"],
    ),
    (
        "ignored",
        {**_CHANGE, "ignore": [r"^\d\d:\d\d"]},
        ("10:00\na", "10:05\na", "10:10\nb"),
        ["x has changed|+ b\n- a"],
    ),
)


def test_the_modes_of_jobs_and_schedules_through_real_reports() -> None:
    wrong = []
    for what, policy, steps, expected in _TABLE:
        for by_schedule in (False, True) if what in ("diff", "edges after three") else (False,):
            agent = make_agent()
            schedule = schedule_of(agent, name="x", notify=policy) if by_schedule else None
            for step in steps:
                text, code = step if isinstance(step, tuple) else (step, 0)
                if schedule is not None:
                    run(schedule, text, code)
                else:
                    watch(agent, text, code, notify={**policy, "name": "x"})
            if told(agent) != expected:
                wrong.append(f"{what}, schedule: {by_schedule}: {told(agent)}")
            memory = WatchMemory.objects.get(owner_id=agent.owner_id)
            if memory.subject != (f"schedule:{schedule.pk}" if schedule is not None else "job:x"):
                wrong.append(f"{what}: {memory.subject}")
    assert not wrong


def test_the_full_output_is_compared_not_the_result() -> None:
    agent = make_agent()
    schedule = schedule_of(agent, notify=_CHANGE)
    page = "\n".join(f"line {number}" for number in range(500))
    run(schedule, page)
    job = run(schedule, f"{page}\nthe last line")
    assert told(agent) == ["seats has changed|+ the last line"]
    assert "the last" not in JobOutput.objects.get(job=job).result


def test_a_schedule_without_notify_uses_edges_unless_it_has_a_callback() -> None:
    agent, quiet = make_agent(), make_agent()
    schedule, silent = schedule_of(agent), schedule_of(quiet, callback="disable")
    both = schedule_of(make_agent(), callback="disable", notify={"when": "edges"})
    for code in (0, 1, 1, 0):
        for one in (schedule, silent, both):
            job = run(one, "x", code)
    assert told(agent) == ["seats failed|Exit code 1.\nx", "seats works again|x"]
    assert told(quiet) == []
    assert told(both.agent) == told(agent)  # type: ignore[arg-type]
    assert job.callback == "disable"


def test_only_the_end_of_the_last_attempt_is_evaluated() -> None:
    agent = make_agent()
    now = database_now()
    make_job(agent, notify={"when": "failure", "name": "x"}, retries=2, backoff=[1], now=now)
    for hours in range(3):
        assert told(agent) == []
        end(agent, "no", 1, now=now + hours * _HOUR)
    assert told(agent) == ["x failed|Exit code 1.\nno"]
    assert claim(agent, now=now + 9 * _HOUR) is None


def test_a_canceled_job_is_not_evaluated() -> None:
    agent = make_agent()
    policy: JsonObject = {"when": "always", "name": "x"}
    job = make_job(agent, notify=policy)
    cancel_job(owner_id=agent.owner_id, job_id=job.pk, actor="test")
    make_job(agent, notify=policy)
    end(agent, "", 143, reason="canceled")
    assert (told(agent), WatchMemory.objects.count()) == ([], 0)


@pytest.mark.parametrize(("code", "expected"), [(0, ["x failed", "x works again"]), (1, ["x failed"])])
def test_a_late_result_is_evaluated_once_and_one_run_is_one_failure(code: int, expected: list[str]) -> None:
    agent = make_agent()
    long_ago = database_now() - _HOUR
    job = make_job(agent, notify={"when": "edges", "name": "x"}, now=long_ago)
    assert claim(agent, now=long_ago) == job
    gateway_alive()
    assert expire_overdue_jobs() == 1
    assert told(agent) == ["x failed|No report says how it ended."]
    kind = ReportKind.FAIL if code else ReportKind.SUCCEED
    for _time in range(2):
        report_jobs([Report(agent_id=agent.pk, job_id=job.pk, kind=kind, output=Output(text="y", exit_code=code))])
    assert [one.split("|")[0] for one in told(agent)] == expected
    assert WatchMemory.objects.get().content.get("failures", 0) == code


def test_a_late_result_of_a_retried_attempt_is_not_evaluated() -> None:
    agent = make_agent()
    long_ago = database_now() - _HOUR
    job = make_job(agent, notify={"when": "always", "name": "x"}, retries=1, idempotent=True, now=long_ago)
    assert claim(agent, now=long_ago) == job
    gateway_alive()
    assert expire_overdue_jobs() == 1
    report_jobs([Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.SUCCEED, output=Output(text="late"))])
    assert told(agent) == []
    end(agent, "second", now=database_now() + _HOUR)
    assert told(agent) == ["x is done|second"]


def _reach(owner: User, name: str) -> None:
    now = database_now()
    Channel.objects.create(
        owner=owner, name=name, driver="wechat", account="app", address=name, levels=list(Level.values),
        created_at=now, changed_at=now, position=Channel.objects.count(),
    )  # fmt: skip


def test_it_goes_to_the_policys_channels_with_its_level_and_mentions_and_nowhere_else() -> None:
    agent = make_agent()
    for name in ("first", "group"):
        _reach(agent.owner, name)
    policy: JsonObject = {
        "when": "change", "name": "x", "channels": ["group"], "mention": ["@all", "bob"], "level": "error",
    }  # fmt: skip
    for page in ("a", "a\nb"):
        make_job(agent, notify=policy)
        job = claim(agent)
        assert job is not None
        # Progress of a job with notify sends nothing, and its end sends no ordinary notice.
        for kind, text in ((ReportKind.RUNNING, "half of it"), (ReportKind.SUCCEED, page)):
            report_jobs([Report(agent_id=agent.pk, job_id=job.pk, kind=kind, output=Output(text=text))])
    evaluate_all()
    (message,) = Message.objects.filter(agent_id=agent.pk)
    assert (message.level, message.mentions, message.source) == (Level.ERROR, ["@all", "bob"], agent.name)
    assert [one.channel.name for one in message.deliveries.select_related("channel") if one.channel] == ["group"]
    # If the channel is removed before the end, the notice goes to the owner's first one.
    make_job(agent, notify=policy)
    Channel.objects.filter(name="group").delete()
    end(agent, "c")
    newest = Message.objects.filter(agent_id=agent.pk).latest("pk")
    assert newest.text == "+ c\n- a\n- b"
    assert [one.channel.name for one in newest.deliveries.select_related("channel") if one.channel] == ["first"]


def test_a_mention_reaches_the_robot_that_calls_people(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(WeComRobot, "call", lambda _robot, _url, payload: sent.append(payload) or {"errcode": 0})
    agent = make_agent()
    create_channel(
        owner_id=agent.owner_id, name="group", driver="wecom_robot", settings={"key": "693a91f6-0ec2"},
        levels=list(Level.values), actor="test",
    )  # fmt: skip
    policy = policy_json(read_policy({"when": "change", "mention": ["all", "bob", "13800000000"]}))
    for page in ("Sat", "Sat\nSun"):
        watch(agent, page, notify={**policy, "name": "seats"})
    claimed = claim_next(Message.objects.get(agent_id=agent.pk).deliveries.get().pk)
    assert claimed is not None
    send_message(claimed)
    (text,) = [payload["text"] for payload in sent]
    assert text["content"].endswith("seats has changed\n+ Sun")
    assert (text["mentioned_list"], text["mentioned_mobile_list"]) == (["@all", "bob"], ["13800000000"])


def test_the_notice_is_in_the_owners_language(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(watching, "render_notice", lambda *_words: (str(translation.get_language()), "x"))
    for language in ("zh-hans", "en", ""):
        owner = make_user()
        User.objects.filter(pk=owner.pk).update(language=language)
        agent = make_agent(owner=owner)
        watch(agent, "no", 1, notify={"when": "edges", "name": "x"})
        assert told(agent) == [f"{language or settings.LANGUAGE_CODE}|x"]


def test_without_a_name_there_is_no_memory() -> None:
    agent = make_agent()
    for code in (0, 1, 0):
        watch(agent, "y", code, notify={"when": "edges"})
    assert told(agent) == ["check failed|Exit code 1.\ny"]
    assert not WatchMemory.objects.exists()


@pytest.mark.parametrize("content", [["no memory"], {"lines": 7}, {"told": "secret words"}, "secret words"])
def test_a_memory_that_cannot_be_read_is_a_new_baseline(content: object, caplog: pytest.LogCaptureFixture) -> None:
    agent = make_agent()
    schedule = schedule_of(agent, notify=_CHANGE)
    run(schedule, "a")
    WatchMemory.objects.update(content=content)
    with caplog.at_level(logging.WARNING):
        run(schedule, "secret words")
    assert [record.__dict__["action"] for record in caplog.records] == ["watch.memory"]
    assert "secret words" not in " ".join(str(record.__dict__) for record in caplog.records)
    assert told(agent) == []
    run(schedule, "secret words\nb")
    assert told(agent) == ["seats has changed|+ b"]


def test_a_policy_of_another_version_is_the_default_one() -> None:
    agent = make_agent()
    watch(agent, "y", 1, notify={"when": "sometimes", "name": "x"})
    assert told(agent) == ["x failed|Exit code 1.\ny"]


def test_a_schedule_forgets_by_order_and_with_its_removal() -> None:
    agent = make_agent()
    schedule = schedule_of(agent, notify=_CHANGE)
    run(schedule, "a")
    forget_schedule(schedule)
    run(schedule, "b")
    assert told(agent) == []
    run_now(schedule, actor="test")
    delete_schedule(schedule=schedule)
    end(agent, "c", 1)
    assert (told(agent), WatchMemory.objects.count()) == ([], 0)


def test_the_number_of_remembered_names_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "NAMES_LIMIT", 2)
    agent = make_agent()
    run(schedule_of(agent), "x")
    for name in ("one", "two", "one", "three"):
        watch(agent, "x", notify={"when": "edges", "name": name})
    left = WatchMemory.objects.order_by("subject").values_list("subject", flat=True)
    assert [subject.split(":")[-1] for subject in left if subject.startswith("job:")] == ["one", "three"]
    assert len(left) == 3


def test_report_of_a_job_with_notify_costs_one_statement_more() -> None:
    agent = make_agent()
    policy: JsonObject = {"when": "edges", "name": "x"}
    watch(agent, "a", notify=policy)
    counts = []
    for notify in (None, policy):
        make_job(agent, callback="disable", notify=notify)
        job = claim(agent)
        assert job is not None
        report = Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.SUCCEED, output=Output(text="a", exit_code=0))
        with CaptureQueriesContext(connection) as queries:
            report_jobs([report])
        counts.append(len(queries))
    assert counts[1] - counts[0] == 1


_PRINCIPAL = Principal(kind=TokenKind.USER, owner_id="o", digest="", scope="jobs")
_REFUSED: tuple[tuple[object, str], ...] = (
    ("change", "notify must be an object"),
    ([], "notify must be an object"),
    ({"when": "change"}, "notify needs a name"),
    ({"max_tries": 3}, "notify needs a name"),
    ({"cooldown_seconds": 60}, "notify needs a name"),
    ({"wehn": "change", "name": "x"}, "notify.wehn is not a field here"),
    ({"when": "change", "name": "x" * 101}, "name has more than 100 characters"),
    ({"when": "change", "name": "x "}, "no blank at its ends"),
    ({"when": "change", "name": "x\ny"}, "no invisible characters"),
    ({"when": "change", "name": 7}, "name must be text"),
)


def test_jobs_of_delayed_jobs_and_followers_send_the_notices_of_any_job() -> None:
    agent = make_agent()
    row = delay(agent, "remind", notify={"when": "always"}, then=[_told_follower(agent)])
    assert fire_delayed([DelayedRef(owner_id=agent.owner_id, delayed_id=row.pk)]) == [row]
    end(agent, "first")
    assert len(told(agent)) == 1
    end(agent, "second")
    assert ["first" in told(agent)[0], "second" in told(agent)[1]] == [True, True]


def _told_follower(agent: Agent) -> JsonObject:
    return {"on": "success", "agent": agent.pk, "message": "after", "notify": {"when": "always"}}


def test_a_job_says_what_it_is_compared_with() -> None:
    def read(notify: object) -> Submission:
        body: Any = {"agent": "a", "message": "x", "notify": notify}
        return read_submission(body, principal=_PRINCIPAL, idempotency_key=None)

    assert read(None).order.notify is None
    assert (read({}).order.notify or {})["when"] == "edges"
    named = read({"when": "change", "name": "少年宫", "mention": ["all"]}).order.notify or {}
    assert (named["name"], named["mention"]) == ("少年宫", ["@all"])
    wrong = []
    for notify, words in _REFUSED:
        try:
            wrong.append(f"{notify}: {read(notify).order.notify}")
        except InvalidRequest as error:
            wrong += [] if words in error.message else [f"{notify}: {error.message}"]
    assert not wrong
    # Another policy is another request.
    assert len({read(one).order.digest() for one in (None, {}, {"when": "failure"})}) == 3


@pytest.mark.mariadb_only
@pytest.mark.django_db(transaction=True)
def test_racing_ends_are_evaluated_one_after_the_other() -> None:
    racers = 6
    for first in (True, False):
        agent = make_agent()
        policy: JsonObject = {"when": "change", "mode": "new-items", "first": "notify", "name": "x", "max_tries": 3}
        if not first:
            watch(agent, "known", notify=policy)
        before = len(told(agent))
        jobs = []
        for _ in range(racers):
            make_job(agent, notify=policy)
            jobs.append(claim(agent))
        gate = Barrier(racers)

        def finish(number: int, agent: Agent = agent, jobs: list[Job | None] = jobs, gate: Barrier = gate) -> None:
            try:
                job = jobs[number]
                assert job is not None
                kind = ReportKind.FAIL if number % 2 else ReportKind.SUCCEED
                output = Output(text="the same place", exit_code=number % 2)
                gate.wait(10)
                run_one(report_jobs, Report(agent_id=agent.pk, job_id=job.pk, kind=kind, output=output), attempts=10)
            finally:
                connection.close()

        with ThreadPoolExecutor(racers) as threads:
            for done in [threads.submit(finish, number) for number in range(racers)]:
                done.result(30)
        # In any order, the value is new once, and the memory has seen all ends.
        assert sum("the same place" in one and "new" in one for one in told(agent)[before:]) == 1
        assert WatchMemory.objects.filter(owner_id=agent.owner_id).count() == 1
