"""The examples of docs/api.md work unchanged, every call has one, and its table of errors matches the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from kernel import errors
from kernel.errors import AppError
from tests.api.contract import schema
from tests.api.people import Live, Person
from tests.architecture.sources import ROOT
from tests.lanes.live import SYS_TOKEN
from tests.waiting import until

pytestmark = pytest.mark.sqlite_only

_PAGES = ("api.md", "delayed-jobs.md", "queues.md", "schedules.md")
_TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
_AGENTS = ("bar", "roof", "shop", "render-1", "render-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Example:
    method: str
    path: str
    headers: dict[str, str]
    data: bytes | None
    status: int


def _commands(page: str = "api.md") -> list[tuple[str, int]]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(line, int(status)) for block in blocks for line, status in re.findall(r"(curl .*)\n# (\d{3})\n", block)]


def _read(command: str, status: int, words: dict[str, str]) -> _Example:
    for name, word in words.items():
        command = re.sub(rf"\${name}\b", word, command)
    assert "$" not in command, command
    arguments = iter(shlex.split(command)[1:])
    method, target, headers, data = "", "", {}, None
    for argument in arguments:
        if argument == "-X":
            method = next(arguments)
        elif argument == "-H":
            name, _, value = next(arguments).partition(": ")
            headers[name] = value
        elif argument == "-d":
            data = next(arguments).encode()
        elif argument != "-sS":
            assert not argument.startswith("-"), command
            target = argument
    default = "GET" if data is None else "POST"
    return _Example(method=method or default, path=target, headers=headers, data=data, status=status)


@pytest.mark.parametrize("page", _PAGES)
def test_examples_work_in_their_order(page: str, live: Live, live_alice: Person) -> None:
    for agent in live_alice("GET", "/agents").body["items"]:
        if agent["name"] in _AGENTS:
            live_alice("DELETE", f"/agents/{agent['id']}?force=1")
    words = {"BASE": "", "TOKEN": live_alice.full, "JOBS_TOKEN": live_alice.jobs, "SYS_TOKEN": SYS_TOKEN}
    words |= {"MESSAGES_TOKEN": live_alice.messages, "STATE": "seats"}
    words |= {"CHANNEL": "default", "TASK_ID": "report-17", "QUEUE": "mails"}
    words |= {"SCHEDULE": "watch"}
    for command, status in _commands(page):
        example = _read(command, status, words)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **example.headers}

        def play(one: _Example = example, sent: dict[str, str] = headers) -> object:
            answer = live(one.method, one.path, headers=sent, raw=one.data)
            # A poll without `wait` may come just before a job that was sent: retry.
            return answer if answer.status == one.status or one.path != "/agent/job" else None

        answer = until(play)
        assert answer.status == status, (command, answer)  # type: ignore[attr-defined]
        body = answer.body  # type: ignore[attr-defined]
        if (example.method, example.path) == ("POST", "/agents"):
            words |= {"AGENT_ID": body["id"], "AGENT_TOKEN": body["token"]}
        elif (example.method, example.path, status) == ("POST", "/delayed-jobs", 201):
            words["DELAYED_ID"] = body["id"]
        elif (example.method, example.path) == ("POST", "/jobs"):
            words["JOB_ID"] = body["id"]
        elif (example.method, example.path) in (("POST", "/channels"), ("POST", "/messages")):
            words["CHANNEL_ID" if example.path == "/channels" else "MESSAGE_ID"] = body["id"]
        elif example.path == "/me":
            words["USER_ID"] = body["id"]
        elif example.path.startswith("/deliveries?"):
            words["DELIVERY_ID"] = body["items"][0]["id"]
        elif (example.method, example.path) == ("PUT", "/state/seats"):
            words["ETAG"] = answer.headers["etag"].replace('"', r"\"")  # type: ignore[attr-defined]
        elif example.path.startswith("/queues/") and "/next" in example.path and body:
            words["PULLED_ID"] = body["id"]
        elif example.path == "/stream":
            words["NEXT"] = body["next"]


def test_every_operation_has_an_example() -> None:
    words = {"BASE": "", "AGENT_ID": "{agent_id}", "JOB_ID": "{job_id}"}
    words |= {"DELAYED_ID": "{delayed_id}", "DELIVERY_ID": "{delivery_id}", "USER_ID": "{user_id}"}
    words |= {"CHANNEL_ID": "{channel_id}", "MESSAGE_ID": "{message_id}", "STATE": "{name}", "ETAG": "x"}
    words |= {"CHANNEL": "{channel}", "TASK_ID": "{task_id}", "QUEUE": "{name}", "PULLED_ID": "{pulled_id}"}
    words |= {"SCHEDULE": "{schedule_id}"}
    words |= dict.fromkeys(("TOKEN", "JOBS_TOKEN", "AGENT_TOKEN", "SYS_TOKEN", "NEXT", "MESSAGES_TOKEN"), "t")
    examples = [_read(command, status, words) for command, status in _commands()]
    shown = {(example.method, example.path.split("?")[0]) for example in examples}
    assert shown == {(method.upper(), path) for path, found in schema()["paths"].items() for method in found}


def _errors() -> Iterator[tuple[str, str]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, AppError):
            yield str(value.status), value.code


def test_table_of_errors_is_the_tree_of_errors() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| .+ \|$", _TEXT, re.MULTILINE)
    assert set(rows) == set(_errors())
    assert [status for status, _code in rows] == sorted(status for status, _code in rows)
