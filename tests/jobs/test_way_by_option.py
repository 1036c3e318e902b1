"""Every way to order a job carries every option to the job, or refuses it with a 400 that names it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from accounts.models import User
from accounts.services.tokens import mint_user_token
from agents.models import Agent
from agents.services.manage import create_agent
from agents.services.presence import AgentTouch, touch_agents
from chat.commands.interpret import answer
from chat.commands.registry import Line
from jobs.api.order import QueuedSerializer
from jobs.life.report import ReportKind
from jobs.models import DelayedJob, Job
from kernel.clock import database_now, rfc3339
from tests.api.people import Answer, InProcess
from tests.factories import claim, make_user, report

pytestmark = pytest.mark.django_db

_UNTIL = rfc3339(dt.datetime(2027, 6, 1, tzinfo=dt.UTC))

OPTIONS: dict[str, Any] = {
    "agent": "box",
    "queue": "q",
    "message": "uptime -p",
    "argv": ["date", "-u"],
    "task": "tidy",
    "source": "shop",
    "callback": "https://shop.example/moves",
    "priority": 7,
    "distinct_key": "order-17",
    "rate_key": "customer-7",
    "retry": 2,
    "backoff": [5, 6],
    "idempotent": True,
    "then": [{"on": "success", "queue": "q", "argv": ["ls", "a b"], "priority": 3, "ttl": 60}],
    "notify": {"when": "failure"},
    "ttl": 600,
    "wait_until": _UNTIL,
}
"""The value that each option is sent with; answers show the same."""


def test_the_table_has_every_option() -> None:
    assert set(OPTIONS) == set(QueuedSerializer().fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A user with an agent that is online, and a queue on it."""

    user: User
    token: str
    agent: Agent
    agent_token: str

    def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> Answer:
        return InProcess()(method, path, body, token=token or self.token)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job as its owner reads it."""
        return dict(self.call("GET", f"/jobs/{job_id}").body)

    def end_next(self, kind: ReportKind, *, now: dt.datetime | None = None) -> Job:
        """Let the agent claim its next job and report this end."""
        job = claim(self.agent, now=now)
        assert job is not None
        assert report(self.agent, job, kind, now=now) is None
        job.refresh_from_db()
        return job


@pytest.fixture(scope="module")
def stage(module_rows: Any) -> Stage:
    """Built once; what a test changes of it is rolled back."""
    with module_rows():
        return _built_stage()


def _built_stage() -> Stage:
    user = make_user("alice")
    token = mint_user_token(user=user, scope="full", actor="test")
    agent, agent_token = create_agent(owner=user, name="box", actor="test")
    touch_agents([AgentTouch(agent_id=agent.pk, ip="192.0.2.1", version="test")])
    made = Stage(user=user, token=token, agent=agent, agent_token=agent_token)
    assert made.call("PUT", "/queues/q", {"agent": "box", "width": 9}).status == 201
    return made


Shown = list[dict[str, Any]]
"""Answers that must show the option: that of the order, if it shows options, and that of the job."""


class Refused(Exception):
    """The way answered 400; the text is the reason."""


def _made(answer: Answer) -> dict[str, Any]:
    if answer.status == 400:
        raise Refused(answer.body["message"])
    assert answer.status < 300, answer
    return dict(answer.body)


def _body(options: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A body with these options, for the queue and with a message unless they say otherwise."""
    body = {**more, **options}
    if not {"agent", "queue"} & body.keys():
        body["queue"] = "q"
    if not {"message", "argv"} & body.keys():
        body["message"] = "date"
    return body


def _post_jobs(stage: Stage, options: dict[str, Any]) -> Shown:
    made = _made(stage.call("POST", "/jobs", _body(options)))
    return [made, stage.job(made["id"])]


def _post_to_queue(stage: Stage, options: dict[str, Any]) -> Shown:
    body = {"message": "date", **options} if "argv" not in options else options
    return [_made(stage.call("POST", "/queues/q/jobs", body))]


def _post_delayed(stage: Stage, options: dict[str, Any]) -> Shown:
    made = _made(stage.call("POST", "/delayed-jobs", _body(options, delay="1h")))
    fired = _made(stage.call("POST", f"/delayed-jobs/{made['id']}/fire"))
    return [made, fired, stage.job(fired["job_id"])]


def _post_schedule(stage: Stage, options: dict[str, Any]) -> Shown:
    made = _made(stage.call("POST", "/schedules", _body(options, name="s", cron="@hourly")))
    run = _made(stage.call("POST", "/schedules/s/run"))
    return [made, stage.job(run["job_id"])]


def _then(stage: Stage, options: dict[str, Any]) -> Shown:
    follower = _body(options, on="success")
    made = _made(stage.call("POST", "/jobs", {"agent": "box", "message": "first", "then": [follower]}))
    assert stage.end_next(ReportKind.SUCCEED).pk == made["id"]
    return [stage.job(Job.objects.get(parent_id=made["id"]).pk)]


def _agent_delayed(stage: Stage, options: dict[str, Any]) -> Shown:
    _made_empty(stage.call("POST", "/agent/job/delayed", {"message": "date", "duration": "1h", **options},
                           token=stage.agent_token))  # fmt: skip
    return [_fire(stage)]


def _made_empty(answer: Answer) -> None:
    assert (answer.status, answer.body) == (201, None), answer


def _fire(stage: Stage) -> dict[str, Any]:
    row = DelayedJob.objects.get()
    fired = _made(stage.call("POST", f"/delayed-jobs/{row.pk}/fire"))
    return stage.job(fired["job_id"])


def _said(options: dict[str, Any]) -> str:
    """Write the options into a chat line; the chat language has only the agent and the text."""
    ((name, value),) = options.items()
    return f"{options.get('agent', 'box')} {value if name == 'message' else f'date {name}={value}'}"


def _say(stage: Stage, text: str) -> None:
    reply = answer(Line(owner_id=stage.user.pk, text=text, platform="console"))
    assert "#" in reply.text or "⏰" in reply.text


def _chat_delay(stage: Stage, options: dict[str, Any]) -> Shown:
    _say(stage, f"delay 1h {_said(options)}")
    return [_fire(stage)]


def _chat_schedule(stage: Stage, options: dict[str, Any]) -> Shown:
    _say(stage, f"schedule add s @hourly {_said(options)}")
    run = _made(stage.call("POST", "/schedules/s/run"))
    return [stage.job(run["job_id"])]


def _coyotes(stage: Stage, options: dict[str, Any]) -> Shown:
    """Push a task: the form has only `task`, `command` and `args`, `retries` and `backoff`."""
    form: list[tuple[str, str]] = []
    for name, value in options.items():
        if name == "argv":
            form += [("command", value[0]), *(("args", word) for word in value[1:])]
        elif name == "backoff":
            form.append((name, ",".join(map(str, value))))
        else:
            form.append(({"message": "task", "retry": "retries"}.get(name, name), str(value)))
    if not {"task", "message"} & options.keys():
        form.append(("task", "date"))
    sent = Client().post(
        "/coyotes/box/channels/default/tasks",
        urlencode(form),
        content_type="application/x-www-form-urlencoded",
        headers={"Authorization": f"Bearer {stage.token}"},
    )
    assert sent.json()["status_code"] == 200, sent.content
    return [stage.job(Job.objects.get().pk)]


def _retry(stage: Stage, options: dict[str, Any]) -> Shown:
    made = _made(stage.call("POST", "/jobs", _body({"retry": 3, **options})))
    assert stage.end_next(ReportKind.FAIL).pk == made["id"]
    again = stage.job(Job.objects.get(root_id=made["id"], attempt=2).pk)
    # A follower may have one level of followers less.
    return [again | {"retry": again["retry"] + 1}]


def _replay(stage: Stage, options: dict[str, Any]) -> Shown:
    made = _made(stage.call("POST", "/jobs", _body({"queue": "q", **_without_agent(options)})))
    now = database_now()
    while not Job.objects.dead().exists():
        stage.end_next(ReportKind.FAIL, now=now)
        now += dt.timedelta(minutes=1)
    replayed = _made(stage.call("POST", "/queues/q/dead/replay", {"all": True}))
    (job_id,) = replayed["ids"]
    assert Job.objects.get(pk=job_id).root_id == made["id"]
    return [stage.job(job_id)]


def _without_agent(options: dict[str, Any]) -> dict[str, Any]:
    """Replay a dead letter, which exists only in queues; the agent is the queue's."""
    return {name: value for name, value in options.items() if name != "agent"}


WAYS: dict[str, Callable[[Stage, dict[str, Any]], Shown]] = {
    "POST /jobs": _post_jobs,
    "/queues/q/jobs": _post_to_queue,
    "/delayed-jobs": _post_delayed,
    "/schedules": _post_schedule,
    "then": _then,
    "retry": _retry,
    "replay": _replay,
    "agent delays": _agent_delayed,
    "chat delay": _chat_delay,
    "chat schedule": _chat_schedule,
    "coyotes": _coyotes,
}

REFUSED = {("/queues/q/jobs", "agent"), ("/queues/q/jobs", "queue"), ("/schedules", "wait_until")}
SAYS = {
    "agent delays": {"agent", "message", "callback"},
    "chat delay": {"agent", "message"},
    "chat schedule": {"agent", "message"},
    "coyotes": {"agent", "message", "argv", "task", "retry", "backoff"},
}
"""The options that the calls of the originals and the chat language have. The agent of the first call is the caller,
that of coyotes is in the path.
"""


def _expected(way: str, option: str) -> str:
    if (way, option) in REFUSED:
        return "400"
    if option in SAYS.get(way, OPTIONS):
        return "yes"
    return "text" if way.startswith("chat") else "no field"


_table: dict[tuple[str, str], str] = {}


def _contains(shown: Any, sent: Any) -> bool:
    """Return whether the answer shows the sent value; objects may have more fields, with their defaults."""
    if isinstance(sent, dict):
        return isinstance(shown, dict) and all(_contains(shown.get(name), value) for name, value in sent.items())
    return bool(shown == sent)


def _outcome(stage: Stage, way: str, option: str) -> str:
    sent = OPTIONS[option]
    try:
        shown = WAYS[way](stage, {option: sent})
    except Refused as refusal:
        return "400" if option in str(refusal) else f"400 without its name: {refusal}"
    if all(_contains(one[option], sent) for one in shown):
        return "yes"
    if way.startswith("chat") and f"{option}={sent}" in shown[-1]["message"]:
        return "text"
    without = {name: value for name, value in shown[-1].items() if name in OPTIONS}
    return (
        "no field" if way in SAYS and option not in SAYS[way] and _is_plain(without) else f"lost: {shown[-1][option]}"
    )


def _is_plain(shown: dict[str, Any]) -> bool:
    """Return whether a job has only the options that every job of this way has."""
    given = {name for name, value in shown.items() if value}
    return given <= {"agent", "queue", "message", "argv", "task", "source", "callback"}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("way", WAYS)
def test_way_carries_option_or_refuses_it_by_name(way: str, option: str, stage: Stage) -> None:
    _table[way, option] = _outcome(stage, way, option)
    assert _table[way, option] == _expected(way, option)


def test_table_of_ways_and_options_is_printed(tell: Callable[[str], None]) -> None:
    """Print the table of the cells of this file that ran before."""
    rows = [["way", *OPTIONS], *([way, *(_table.get((way, option), "") for option in OPTIONS)] for way in WAYS)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        tell("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    assert set(_table) <= {(way, option) for way in WAYS for option in OPTIONS}


@pytest.mark.parametrize("option", ["priority", "distinct_key", "rate_key"])
@pytest.mark.parametrize("way", ["POST /jobs", "/delayed-jobs", "/schedules", "then"])
def test_options_of_queues_are_refused_for_an_agent(way: str, option: str, stage: Stage) -> None:
    with pytest.raises(Refused, match=option):
        WAYS[way](stage, {"agent": "box", option: OPTIONS[option]})


@pytest.mark.parametrize("option", sorted(OPTIONS.keys() - {"agent", "queue", "message", "source"}))
def test_options_of_a_job_are_refused_where_an_address_is_called(option: str, stage: Stage) -> None:
    body = {"url": "https://shop.example/x", "delay": "1h", option: OPTIONS[option]}
    if option != "argv":
        body["message"] = "1"
    made = stage.call("POST", "/delayed-jobs", body)
    assert (made.status, option in made.body["message"]) == (400, True), made


def _changes() -> Iterable[tuple[str, str]]:
    for option in OPTIONS.keys() - {"agent", "queue"}:
        yield "/delayed-jobs", option
    for option in OPTIONS.keys() - {"wait_until"}:
        yield "/schedules", option


@pytest.mark.parametrize(("path", "option"), sorted(_changes()))
def test_option_is_changed_and_taken_away_again(path: str, option: str, stage: Stage) -> None:
    own = {"delay": "1h"} if path == "/delayed-jobs" else {"name": "s", "cron": "@hourly"}
    made = _made(stage.call("POST", path, {"queue": "q", "message": "date", **own}))
    one = f"{path}/{made['id']}"
    changed = _made(stage.call("PATCH", one, {option: OPTIONS[option]}))
    assert _contains(changed[option], OPTIONS[option]), changed
    if option in ("agent", "queue", "message", "argv"):
        return
    again = _made(stage.call("PATCH", one, {option: None}))
    assert again == made | {"updated_at": again["updated_at"]}


@pytest.mark.parametrize("field", ["agent", "queue", "url", "key", "if_exists"])
def test_target_and_key_of_a_delayed_job_cannot_be_changed(field: str, stage: Stage) -> None:
    made = _made(stage.call("POST", "/delayed-jobs", {"queue": "q", "message": "date", "delay": "1h"}))
    refused = stage.call("PATCH", f"/delayed-jobs/{made['id']}", {field: "q"})
    assert (refused.status, refused.body["message"].startswith(f"{field} cannot be changed")) == (400, True)


@pytest.mark.parametrize("way", ["POST /jobs", "/queues/q/jobs", "/delayed-jobs", "/schedules", "then"])
@pytest.mark.parametrize(
    ("field", "said"), [("retrys", "retrys is not a field here. Did you mean retry?"), ("x", "x is not a field here.")]
)
def test_unknown_field_is_refused_with_the_nearest_known_one(way: str, field: str, said: str, stage: Stage) -> None:
    with pytest.raises(Refused) as refused:
        WAYS[way](stage, {field: 1})
    at = "then[0]." if way == "then" else ""
    assert str(refused.value) == at + said.replace("mean ", f"mean {at}")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/queues/z", {"widht": 1}),
        ("/queues/q/dead/replay", {"all": True, "idz": []}),
        ("/schedules/preview", {"cron": "@hourly", "timezones": "UTC"}),
        ("/schedules/s/pause", {"untill": None}),
    ],
)
def test_other_bodies_refuse_unknown_fields(path: str, body: dict[str, Any], stage: Stage) -> None:
    _made(stage.call("POST", "/schedules", {"name": "s", "agent": "box", "message": "date", "cron": "@hourly"}))
    refused = stage.call("PUT" if path == "/queues/z" else "POST", path, body)
    assert (refused.status, "Did you mean" in refused.body["message"]) == (400, True), refused
