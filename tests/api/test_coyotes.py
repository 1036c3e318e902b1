"""The coyotes calls: every row of the original's table, with its texts, and bodies in the form of its clients."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, User
from jobs.coyotes.failed import forget_old_failed_tasks
from jobs.delayed.release import release_delayed
from jobs.models import DelayedJob, Job, Queue
from jobs.queues.service import QueueSettings, put_queue
from kernel.clock import database_now
from tests.api.coyotes_client import (
    FORM,
    README_ALIAS,
    README_PUSH,
    basic,
    curl_d,
    curl_f,
    curl_urlencode,
    php_build_query,
)
from tests.api.people import Person, TheirAgent

pytestmark = pytest.mark.django_db

ZERO = "0001-01-01T00:00:00Z"
TIME = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z")
EMPTY = {"tasks": [], "count": 0}
OWN = "0a360b99-4b22-4269-bdec-9331deb8425c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coyotes:
    """A client of the original with another base URL."""

    person: Person
    agent: TheirAgent

    def raw(self, method: str, path: str, form: tuple[str, bytes] = ("", b""), **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {self.person.full}"} | headers
        kind, body = form
        url = f"/coyotes/{self.agent.name}{path}"
        return Client(enforce_csrf_checks=True).generic(method, url, body, content_type=kind, headers=sent)

    def __call__(self, method: str, path: str, form: tuple[str, bytes] = ("", b"")) -> Any:
        """Make a call that must succeed, and return `data`."""
        body = self.envelope(method, path, form)
        assert (body["status_code"], body["message"]) == (200, "ok"), body
        return body["data"]

    def envelope(self, method: str, path: str, form: tuple[str, bytes] = ("", b"")) -> Any:
        answer = self.raw(method, path, form)
        assert answer.status_code == 200, answer.content
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        body = json.loads(answer.content)
        assert list(body) == ["status_code", "message", "data"]
        return body

    def refusal(self, method: str, path: str, form: tuple[str, bytes] = ("", b"")) -> str:
        """Make a call that must be refused, and return the reason."""
        body = self.envelope(method, path, form)
        assert (body["status_code"], body["data"]) == (500, None), body
        return str(body["message"])

    def push(self, name: str, channel: str = "default", **fields: str) -> Any:
        return self("POST", f"/channels/{channel}/tasks", curl_urlencode([("task", name), *fields.items()]))

    def claim(self) -> Any:
        answer = self.person.api("GET", "/agent/job", token=self.agent.token, headers={"Skadi-Protocol": "2"})
        return answer.body

    def run_next(self, end: str = "succeed", result: str = "done") -> Any:
        """Let the agent claim the next task and report its end; return the job as the agent got it."""
        job, two = self.claim(), {"Skadi-Protocol": "2"}
        api, token, path = self.person.api, self.agent.token, f"/agent/jobs/{job['id']}"
        taken = api("PUT", f"{path}/running", {"ack": True, "offer": job["offer"]}, token=token, headers=two)
        assert taken.status == 204, taken
        assert api("PUT", f"{path}/{end}", {"result": result}, token=token, headers=two).status == 204
        return job


@pytest.fixture
def client(alice: Person) -> Coyotes:
    return Coyotes(person=alice, agent=alice.add_agent())


def test_bodies_as_clients_write_them(client: Coyotes) -> None:
    words = ["-c", "10", "a b", "", "x=1&y", "傻瓜", "+", ";", "$(id)", "-c"]
    fields = [("task", "pwd"), ("command", "ping"), *(("args", word) for word in words)]
    plain = [("task", "pwd"), ("command", "ping"), ("args", "-c"), ("args", "10")]
    array: list[tuple[str, Any]] = [("task", "pwd"), ("command", "ping"), ("args", words)]
    table: tuple[tuple[str, tuple[str, bytes], list[str]], ...] = (
        ("curl -d", curl_d(plain), ["ping", "-c", "10"]),
        ("curl -d, not encoded", curl_d([("task", "a task"), ("command", "ping"), ("args", "a b")]), ["ping", "a b"]),
        ("curl --data-urlencode", curl_urlencode(fields), ["ping", *words]),
        ("curl -F", curl_f(fields), ["ping", *words]),
        ("curl -F, another boundary", curl_f(fields, "x'()+_,-./:=?0"), ["ping", *words]),
        ("PHP, repeated by hand", php_build_query(plain), ["ping", "-c", "10"]),
        ("PHP, an array", php_build_query(array), ["ping", *words]),
        ("a form's args[]", curl_urlencode([("task", "t"), ("command", "c"), ("args[]", "1"), ("args[]", "2")]),
         ["c", "1", "2"]),
        ("order of the fields", curl_d([("args", "1"), ("command", "c"), ("args", "2"), ("task", "t")]),
         ["c", "1", "2"]),
        ("no command", curl_d([("task", "ls  -l /"), ("args", "ignored")]), ["ls", "", "-l", "/"]),
        ("an empty command", curl_d([("task", "date"), ("command", "")]), ["date"]),
        ("the first of two", curl_d([("task", "a"), ("task", "b"), ("command", "c"), ("command", "d")]), ["c"]),
        ("a charset", (f"{FORM}; charset=UTF-8", b"task=date"), ["date"]),
        ("capitals", (FORM.title(), b"task=date"), ["date"]),
        ("a file is no field", (curl_f([])[0], curl_f([("task", "date")])[1].replace(
            b'name="task"', b'name="args"; filename="x"', 1)[:-2] + b"\r\n"), []),
    )  # fmt: skip
    made = client("POST", "/channels", curl_d([("name", "free"), ("worker", "0")]))
    assert made is None
    wrong = []
    for what, form, argv in table:
        body = client.envelope("POST", "/channels/free/tasks", form)
        if not argv:
            got = body["message"] == "任务名称不能为空"
        else:
            job = Job.objects.get(params__task_id=body["data"]["task_id"]) if body["data"] else None
            got = job is not None and job.params["argv"] == argv
        if not got:
            wrong.append((what, body))
    assert wrong == []


def test_examples_of_the_readme(client: Coyotes) -> None:
    answer = client("POST", "/channels/default", README_ALIAS)
    assert list(answer) == ["task_id", "task_name", "result"]
    assert (answer["task_name"], answer["result"]) == ("ping -c 40 baidu.com", True)
    assert client("GET", "/channels/default")["tasks"][0]["command"] == {
        "name": "ping",
        "args": ["-c", "40", "baidu.com"],
    }
    later = client("POST", "/channels/default/tasks", README_PUSH)
    assert (later["task_name"], later["result"]) == ("pwd", True)
    (task,) = client("GET", "/delay-tasks").values()
    assert (task["task_id"], task["channel"]) == (later["task_id"], "delayed")
    assert task["command"] == {"name": "ping", "args": ["-c", "10", "baidu.com"]}
    channels = client("GET", "/channels")
    assert list(channels) == ["biz", "cron", "default", "delayed"]
    assert channels["biz"] == EMPTY
    assert channels["default"]["count"] == 1


def test_the_shape_of_a_task(client: Coyotes) -> None:
    pushed = client.push("date", command="date")
    (task,) = client("GET", "/channels/default")["tasks"]
    assert list(task) == [
        "task_id", "task_name", "command", "channel", "status", "execute_at", "retry_count", "failed_at",
        "write_backend", "result",
    ]  # fmt: skip
    assert task == {
        "task_id": pushed["task_id"], "task_name": "date", "command": {"name": "date", "args": None},
        "channel": "default", "status": "queued", "execute_at": ZERO, "retry_count": 0, "failed_at": ZERO,
        "write_backend": False, "result": "",
    }  # fmt: skip
    # In a channel that is not distinct, the original shows every waiting task as `expired`.
    client("POST", "/channels", curl_d([("name", "free"), ("worker", "1")]))
    client.push("date", "free")
    client.push("date", "free")
    assert [one["status"] for one in client("GET", "/channels/free")["tasks"]] == ["queued", "queued"]
    job = client.claim()
    assert job["argv"] == ["date"]
    assert client("GET", "/channels/default") == {"tasks": [{**task, "status": "running"}], "count": 1}


def test_channels_are_made_and_forgotten(client: Coyotes) -> None:
    assert client("POST", "/channels", curl_f([("name", "mail"), ("distinct", "true"), ("worker", "3")])) is None
    assert client("POST", "/channels", curl_d([("name", "more"), ("distinct", "TRUE"), ("worker", "0")])) is None
    assert client("POST", "/channels", curl_urlencode([("name", "空 格/slash" + "x" * 50), ("worker", "+2")])) is None
    rows = {queue.channel: queue for queue in Queue.objects.all()}
    assert {name: (row.distinct, row.width, row.retries) for name, row in rows.items()} == {
        "biz": (True, 5, 0), "cron": (True, 5, 0), "default": (True, 5, 0), "delayed": (False, 5, 0),
        "mail": (True, 3, 0), "more": (False, 5, 0), "空 格/slash" + "x" * 50: (False, 2, 0),
    }  # fmt: skip
    assert rows["mail"].name == f"coyotes:{client.agent.id}:mail"
    assert len(client("GET", "/channels")) == 7
    assert client("GET", "/channels/none") == EMPTY
    client.push("one", "mail")
    assert client("DELETE", "/channels/mail") is None
    assert client("DELETE", "/channels/none") is None
    assert client("DELETE", "/channels/default") is None
    assert "mail" not in client("GET", "/channels")
    assert "default" in client("GET", "/channels")
    assert client.refusal("POST", "/channels/mail/tasks", curl_d([("task", "x")])) == "channel不存在"
    # Its tasks still run, and a new channel of the same name is another queue.
    assert client("POST", "/channels", curl_d([("name", "mail"), ("worker", "1")])) is None
    assert client("GET", "/channels/mail") == EMPTY
    (gone,) = Queue.objects.filter(channel=None)
    assert client.person.api.unchecked("DELETE", f"/queues/{gone.name}", token=client.person.full).status == 409
    assert client.run_next()["argv"] == ["one"]
    assert client.person.api.unchecked("DELETE", f"/queues/{gone.name}", token=client.person.full).status == 204


def test_a_queue_that_its_owner_called_so_becomes_the_channel(client: Coyotes) -> None:
    owner, name = client.person("GET", "/me").body["id"], f"coyotes:{client.agent.id}:biz"
    put_queue(viewer=User.objects.get(pk=owner), name=name, settings=QueueSettings(agent=client.agent.id, width=9))
    assert client.push("x", "biz")["result"] is True
    assert Queue.objects.get(channel="biz").name == name
    assert Queue.objects.count() == 4


def test_texts_of_refusals(client: Coyotes) -> None:
    post = "/channels/default/tasks"
    long, cut = "x" * 4100, curl_f([("task", "date")])
    table: tuple[tuple[str, str, tuple[str, bytes], str], ...] = (
        ("POST", "/channels", curl_d([("worker", "1")]), "channel name required"),
        ("POST", "/channels", curl_d([("name", "biz"), ("worker", "1")]), "channel biz has existed"),
        ("POST", "/channels", curl_d([("name", "biz "), ("worker", "1")]), "channel biz  has existed"),
        ("POST", "/channels", curl_d([("name", "x")]), '字段workerCount不合法: strconv.Atoi: parsing "": '),
        ("POST", "/channels", curl_d([("name", "x"), ("worker", "two")]), "字段workerCount不合法: "),
        ("POST", "/channels", curl_d([("name", "x"), ("worker", "1.5")]), "字段workerCount不合法: "),
        ("POST", "/channels", curl_d([("name", "x"), ("worker", "-1")]), "字段workerCount不合法: "),
        ("POST", "/channels", curl_d([("name", "x"), ("worker", "9" * 30)]), "字段workerCount不合法: "),
        ("POST", "/channels", curl_d([("name", "x" * 65), ("worker", "1")]), "more than 64 characters"),
        ("POST", post, curl_d([("command", "date")]), "任务名称不能为空"),
        ("POST", post, curl_d([("task", "")]), "任务名称不能为空"),
        ("POST", post, ("", b""), "任务名称不能为空"),
        ("POST", post, ("application/json", b'{"task": "date"}'), "任务名称不能为空"),
        ("POST", post, ("text/plain", b"task=date"), "任务名称不能为空"),
        ("POST", post + "?task=date", ("", b""), "任务名称不能为空"),
        ("POST", "/channels/none/tasks", curl_d([("task", "x")]), "channel不存在"),
        ("POST", "/channels/none", curl_d([("task", "x")]), "channel不存在"),
        ("POST", "/channels/none/tasks", curl_d([("task", "x"), ("delay", "9")]), "channel不存在"),
        ("POST", "/channels/none/tasks", ("", b""), "任务名称不能为空"),
        ("DELETE", "/channels/default/tasks/none", ("", b""), "任务不存在"),
        ("DELETE", f"/channels/none/tasks/{OWN}", ("", b""), "任务不存在"),
        ("GET", f"/channels/default/failed-tasks/{OWN}", ("", b""), "任务不存在"),
        ("GET", "/channels/none/failed-tasks/x", ("", b""), "任务不存在"),
        ("POST", f"/channels/default/failed-tasks/{OWN}", ("", b""), "任务不存在"),
        ("DELETE", f"/channels/default/failed-tasks/{OWN}", ("", b""), "任务不存在"),
        ("GET", f"/delay-tasks/{OWN}", ("", b""), "Can't find the specified delay task"),
        ("DELETE", "/delay-tasks/none", ("", b""), "Can't find the specified delay task"),
        ("POST", post, (FORM, b"task=a%00b"), "U+0000"),
        ("POST", post, (FORM, b"task=a&command=x&args=%00"), "U+0000"),
        ("POST", post, (FORM, b"task=%ff"), "cannot be read"),
        ("POST", post, (FORM, b"task=\xff"), "cannot be read"),
        ("POST", post, (FORM, b"task=100%"), "cannot be read"),
        ("POST", post, (cut[0], cut[1][:-20]), "cannot be read"),
        ("POST", post, ("multipart/form-data", cut[1]), "cannot be read"),
        ("POST", post, (cut[0], cut[1].replace(b"date", b"\xff")), "cannot be read"),
        ("POST", post, curl_d([("task", "x" * 256)]), "task has more than 255 characters"),
        ("POST", post, curl_d([("task", "x"), ("id", "x" * 256)]), "id has more than 255 characters"),
        ("POST", post, curl_d([("task", "x"), ("command", long)]), "more than 4096 characters"),
        ("POST", post, curl_d([("task", "x"), ("command", "x"), *[("args", "x")] * 64]), "1 to 64 words"),
        ("POST", post, curl_d([("task", "x"), ("delay", "40000000")]), "1 second to 400 days"),
        ("POST", post, curl_d([("task", "x"), ("retries", "11")]), "retries"),
        ("POST", post, curl_d([("task", "x"), ("retries", "-1")]), "retries"),
        ("POST", post, curl_d([("task", "x"), ("backoff", "1;2")]), "backoff"),
        ("POST", post, curl_d([("task", "x"), ("backoff", "0")]), "backoff"),
    )  # fmt: skip
    said = [(row, client.refusal(*row[:3])) for row in table]
    assert [(row[:3], words) for row, words in said if row[3] not in words] == []
    assert client("GET", "/channels/none/failed-tasks") == {}
    assert Job.objects.count() == DelayedJob.objects.count() == 0
    # Errors outside of the coyotes envelope have the shape of our own API.
    assert client.raw("POST", post, (FORM, b"task=" + b"x" * 70_000)).status_code == 413
    assert client.raw("PUT", post).status_code == 405
    assert client.raw("GET", "/nothing").status_code == 404


def test_a_name_waits_or_runs_once_in_a_distinct_channel(client: Coyotes) -> None:
    first = client.push("report", command="report", args="1")
    again = client.push("report", command="report", args="2")
    assert again == {"task_id": first["task_id"], "task_name": "report", "result": False}
    assert client.push("report", "biz")["result"] is True
    assert client.claim()["argv"] == ["report", "1"]
    assert client.push("report")["result"] is False
    job = Job.objects.get(pk=first["task_id"])
    done = client.person.api("PUT", f"/agent/jobs/{job.pk}/succeed", {}, token=client.agent.token)
    assert done.status == 204
    assert client.push("report")["result"] is True


def test_a_failed_task_is_kept_with_its_reason_until_it_is_retried_or_removed(client: Coyotes) -> None:
    pushed = client.push("clean", command="rm", args="-rf")
    job = client.run_next("fail", "unsupported command: rm -rf")
    assert (job["message"], job["argv"]) == ("rm -rf", ["rm", "-rf"])
    here = f"/channels/default/failed-tasks/{pushed['task_id']}"
    task = client("GET", here)
    assert TIME.fullmatch(task["failed_at"])
    assert task == {
        "task_id": pushed["task_id"], "task_name": "clean", "command": {"name": "rm", "args": ["-rf"]},
        "channel": "default", "status": "", "execute_at": ZERO, "retry_count": 1, "failed_at": task["failed_at"],
        "write_backend": False, "result": "unsupported command: rm -rf",
    }  # fmt: skip
    assert client("GET", "/channels/default/failed-tasks") == {pushed["task_id"]: task}
    assert client("GET", "/channels/default") == EMPTY
    assert client("GET", "/channels/biz/failed-tasks") == {}
    assert client.refusal("GET", here.replace("default", "biz")) == "任务不存在"

    assert client("POST", here) is None
    assert client.refusal("POST", here) == "任务不存在"
    (live,) = client("GET", "/channels/default")["tasks"]
    assert (live["task_id"], live["status"], live["retry_count"]) == (pushed["task_id"], "queued", 1)
    assert client("GET", "/channels/default/failed-tasks") == {}
    assert client.run_next("fail", "again")["argv"] == ["rm", "-rf"]
    assert client("GET", here)["retry_count"] == 2

    # The original drops a retried task if a task with the same name is waiting.
    assert client.push("clean", command="rm")["result"] is True
    assert "already" in client.refusal("POST", here)
    removed = client("DELETE", here)
    assert (removed["task_id"], removed["retry_count"], removed["result"]) == (pushed["task_id"], 2, "again")
    assert client.refusal("DELETE", here) == "任务不存在"


def test_failed_tasks_are_sorted_and_forgotten_after_thirty_days(client: Coyotes) -> None:
    for name in ("b", "a"):
        client.push(name, id=f"own-{name}")
        client.run_next("fail")
    assert list(client("GET", "/channels/default/failed-tasks")) == ["own-a", "own-b"]
    now = database_now()
    assert forget_old_failed_tasks(now=now + dt.timedelta(days=29)) == 0
    plain = put_queue(viewer=Job.objects.all()[0].owner, name="other", settings=QueueSettings(agent=client.agent.id))[0]
    Job.objects.filter(task="b").update(queue=plain)  # dead letters of other queues stay until their owner acts
    assert forget_old_failed_tasks(now=now + dt.timedelta(days=31)) == 1
    assert client("GET", "/channels/default/failed-tasks") == {}
    assert Job.objects.dead().count() == 1


def test_a_task_that_waits_is_taken_back(client: Coyotes) -> None:
    pushed = client.push("slow", id="own 1?#傻")
    assert pushed["task_id"] == "own 1?#傻"
    assert client.refusal("DELETE", "/channels/biz/tasks/own%201%3F%23%E5%82%BB") == "任务不存在"
    other = client.push("slow two")
    task = client("DELETE", f"/channels/default/tasks/{other['task_id']}")
    assert (task["task_id"], task["status"]) == (other["task_id"], "")
    assert client("GET", "/channels/default")["count"] == 1
    assert client.refusal("DELETE", f"/channels/default/tasks/{other['task_id']}") == "任务不存在"
    assert client("DELETE", "/channels/default/tasks/own%201%3F%23%E5%82%BB")["task_name"] == "slow"
    assert client("GET", "/channels/default/failed-tasks") == {}


def test_an_own_id_names_one_task(client: Coyotes) -> None:
    first = client.push("a", id=OWN)
    assert first == {"task_id": OWN, "task_name": "a", "result": True}
    assert client.push("a", id=OWN) == {"task_id": OWN, "task_name": "a", "result": False}
    assert client.push("b", "biz", id=OWN)["result"] is False
    assert client.push("b", id=OWN, delay="60")["result"] is False
    assert Job.objects.get().params["task_id"] == OWN
    assert Job.objects.get().pk != OWN  # clients do not choose our primary keys
    assert client("DELETE", f"/channels/default/tasks/{OWN}")["task_id"] == OWN
    assert client.push("later", id="own", delay="60")["result"] is True
    assert client.push("later", id="own", delay="60")["result"] is False
    assert client.push("now", id="own")["result"] is False
    assert client("GET", "/delay-tasks/own")["task_name"] == "later"


def test_delayed_tasks(client: Coyotes) -> None:
    before = database_now()
    pushed = client.push("later", "biz", command="date", args="-u", delay="3600", id=OWN)
    other = client.push("other", delay="7200")
    task = client("GET", f"/delay-tasks/{pushed['task_id']}")
    due = dt.datetime.fromisoformat(task["execute_at"])
    assert dt.timedelta(minutes=60) <= due - before <= dt.timedelta(minutes=61)
    assert task == {
        "task_id": OWN, "task_name": "later", "command": {"name": "date", "args": ["-u"]}, "channel": "delayed",
        "status": "", "execute_at": task["execute_at"], "retry_count": 0, "failed_at": ZERO, "write_backend": False,
        "result": "",
    }  # fmt: skip
    assert list(client("GET", "/delay-tasks")) == sorted([OWN, other["task_id"]])
    gone = client("DELETE", f"/delay-tasks/{other['task_id']}")
    assert (gone["task_id"], gone["task_name"]) == (other["task_id"], "other")
    assert client.refusal("DELETE", f"/delay-tasks/{other['task_id']}") == "Can't find the specified delay task"
    # An invalid number or one that is not positive means no delay.
    for name, delay in (("a", "soon"), ("b", "-5"), ("c", "1.5"), ("d", ""), ("e", "0"), ("f", " 5")):
        client.push(name, "cron", delay=delay)
    assert client("GET", "/channels/cron")["count"] == 6
    assert list(client("GET", "/delay-tasks")) == [OWN]

    row = DelayedJob.objects.get(params__task_id=OWN)
    assert client.person("PATCH", f"/delayed-jobs/{row.pk}", {"message": "uptime"}).status == 200
    assert client("GET", f"/delay-tasks/{OWN}")["command"] == {"name": "uptime", "args": None}
    DelayedJob.objects.filter(pk=row.pk).update(due_at=before)
    release_delayed()
    assert client("GET", "/delay-tasks") == {}
    (live,) = client("GET", "/channels/delayed")["tasks"]
    assert (live["task_id"], live["status"], live["channel"]) == (OWN, "queued", "delayed")
    assert TIME.fullmatch(live["execute_at"])
    assert client("DELETE", f"/channels/delayed/tasks/{OWN}")["task_id"] == OWN


def test_retries_are_an_addition(client: Coyotes) -> None:
    pushed = client.push("flaky", retries="1", backoff="10,60")
    client.run_next("fail")
    assert client("GET", "/channels/default/failed-tasks") == {}
    (live,) = client("GET", "/channels/default")["tasks"]
    assert (live["task_id"], live["retry_count"]) == (pushed["task_id"], 1)
    Job.objects.filter(attempt=2).update(active_at=database_now())
    client.run_next("fail")
    assert client("GET", f"/channels/default/failed-tasks/{pushed['task_id']}")["retry_count"] == 2


def test_the_refusal_of_a_full_queue_is_in_the_envelope(client: Coyotes) -> None:
    client("GET", "/channels")
    Queue.objects.filter(channel="biz").update(length_limit=1)
    client.push("a", "biz")
    assert "1 jobs wait" in client.refusal("POST", "/channels/biz/tasks", curl_d([("task", "b")]))
    assert client.person("PATCH", f"/agents/{client.agent.id}", {"enabled": False}).status == 200
    assert client.agent.name in client.refusal("POST", "/channels/biz/tasks", curl_d([("task", "b")]))


def test_tasks_send_no_chat_notices_and_wait_for_their_agent(alice: Person) -> None:
    client = Coyotes(person=alice, agent=alice.add_agent(online=False))
    client.push("a")
    job = Job.objects.get()
    assert (job.callback, job.source, job.is_impatient) == ("disable", "coyotes", False)


def test_the_page(alice: Person) -> None:
    client = Coyotes(person=alice, agent=alice.add_agent("<b>&'\""))
    for name, end in (("a", "succeed"), ("b", "succeed"), ("c", "fail")):
        client.push(name)
        client.run_next(end)
    answer = client.raw("GET", "/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.content.decode()
    assert "<b>&'" not in text
    assert "&lt;b&gt;" in text
    assert re.findall(r"<dd>([0-9]+)</dd>", text) == ["3", "2", "1", "4"]
    assert "LetServer 2.0.0" in text


def test_who_may_call(client: Coyotes, charlie: Person) -> None:
    full, jobs = client.person.full, client.person.jobs

    def status(path: str = "/channels", **headers: str) -> int:
        url = f"/coyotes/{client.agent.id}{path}"
        return int(Client().get(url, headers=headers).status_code)

    assert status(Authorization=f"Bearer {full}") == 200
    assert status(Authorization=basic(full, "")) == 200
    assert status(Authorization=basic(jobs, "x")) == 200
    assert status(Authorization=basic("anybody", full)) == 200
    assert status(Authorization=basic(full, full)) == 200
    assert status(Authorization=basic(full, jobs)) == 400
    assert status(Authorization=basic("a", "b")) == 400
    assert status(Authorization="Basic ###") == 400
    assert status(Authorization=f"Basic {full}") == 400
    assert status(Authorization=basic("x", client.person.messages)) == 403
    assert status(Authorization=basic("x", client.agent.token)) == 403
    assert status() == 400
    seen = AuditEntry.objects.filter(action="token.in_query").count()
    assert status(f"/channels?token={full}") == 200
    assert AuditEntry.objects.filter(action="token.in_query").count() == seen + 1
    assert status(f"/channels?token={jobs}") == 200
    assert status(f"/channels?token={full}", Authorization=basic("x", jobs)) == 400
    # Basic authentication works for these calls only.
    assert Client().get("/jobs", headers={"Authorization": basic("x", full)}).status_code == 400
    assert status(Authorization=basic("x", charlie.full)) == 404
    body = Client().get("/coyotes/nobody/channels", headers={"Authorization": f"Bearer {full}"}).json()
    assert body["error"] == "AgentNotFound"
