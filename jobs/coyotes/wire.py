"""The bodies of the coyotes calls: forms in, envelopes out, in the words and with the zero times of the original."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from urllib.parse import parse_qsl

from django.http import QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.http import parse_header_parameters
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from jobs.api.order import check_backoff
from jobs.argv import command_of
from jobs.coyotes.channels import DEFAULT_WORKERS, WORKERS_LIMIT, NewChannel
from jobs.coyotes.task import TASK_ID_LENGTH, Task
from jobs.coyotes.tasks import Push, Pushed, Tasks
from jobs.coyotes.words import NO_TASK_NAME, Refusal
from jobs.models import QUEUE_NAME_LENGTH, TASK_LENGTH
from jobs.order import RETRIES_LIMIT, Backoff, JobOrder
from kernel.clock import rfc3339
from kernel.errors import InvalidRequest
from kernel.strictjson import JsonObject, JsonValue
from kernel.text import unstorable_character

ZERO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time."""

_FIELDS_LIMIT = 1000
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# `args` again and again, as the original has it, and as PHP's http_build_query and forms write an array.
_ARGS = re.compile(r"args(?:\[[0-9]*\])?")
_GO_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The fields of a form in the order in which they were sent."""

    pairs: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def first(self, name: str) -> str:
        """Return the first value of a field, or an empty text, as the original reads it."""
        return next((value for key, value in self.pairs if key == name), "")

    @property
    def args(self) -> list[str]:
        """The arguments, in order."""
        return [value for key, value in self.pairs if _ARGS.fullmatch(key)]


def read_form(content_type: str, body: bytes) -> Form:
    """Read a form, urlencoded or multipart; a body of any other type holds no fields.

    Raises InvalidRequest for invalid UTF-8 and for a truncated form, because half a command must not run.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        pairs = _urlencoded(body)
    elif kind == "multipart/form-data":
        pairs = list(_multipart(content_type, body))
    else:
        pairs = []
    for text in (text for pair in pairs for text in pair):
        if found := unstorable_character(text):
            raise InvalidRequest(_("The text holds %(character)s, which cannot be kept."), params={"character": found})
    return Form(pairs=tuple(pairs))


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode("utf-8")
        if _BAD_ESCAPE.search(body):
            raise ValueError("bad escape")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_LIMIT)
    except ValueError as error:
        raise InvalidRequest(_("The form cannot be read.")) from error


def _multipart(content_type: str, body: bytes) -> Iterator[tuple[str, str]]:
    """Give the fields; files are none."""
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    try:
        fields, _files = MultiPartParser(meta, BytesIO(body), [], "utf-8").parse()
        boundary = parse_header_parameters(content_type)[1]["boundary"]
        if f"--{boundary}--".encode() not in body:
            raise MultiPartParserError("no end")
    except MultiPartParserError as error:
        raise InvalidRequest(_("The form cannot be read.")) from error
    for name, values in QueryDict.lists(fields):
        for value in values:
            if "\ufffd" in value:
                raise InvalidRequest(_("The form cannot be read."))
            yield name, value


def read_channel(form: Form, agent: Agent) -> NewChannel:
    """Read the form of POST /channels. Raises Refusal, InvalidRequest."""
    worker = form.first("worker")
    if not _GO_INTEGER.fullmatch(worker):
        raise Refusal(f"字段workerCount不合法: strconv.Atoi: parsing {_go_quoted(worker)}: invalid syntax")
    if not 0 <= int(worker) <= WORKERS_LIMIT:
        raise Refusal(f"字段workerCount不合法: strconv.Atoi: parsing {_go_quoted(worker)}: value out of range")
    name = form.first("name")
    if len(name) > QUEUE_NAME_LENGTH:
        raise InvalidRequest(
            _("%(field)s has more than %(limit)s characters."), params={"field": "name", "limit": QUEUE_NAME_LENGTH}
        )
    workers = int(worker) or DEFAULT_WORKERS
    return NewChannel(agent=agent, name=name, distinct=form.first("distinct") == "true", workers=workers)


def read_push(form: Form, agent: Agent, *, channel: str, actor: str) -> Push:
    """Read the form of a push. Raises Refusal, InvalidRequest, InvalidMessage.

    Without `command`, the name is the command: single spaces separate its words.
    """
    name, command, own_id = form.first("task"), form.first("command"), form.first("id")
    if not name:
        raise Refusal(NO_TASK_NAME)
    for what, text, limit in (("task", name, TASK_LENGTH), ("id", own_id, TASK_ID_LENGTH)):
        if len(text) > limit:
            raise InvalidRequest(
                _("%(field)s has more than %(limit)s characters."), params={"field": what, "limit": limit}
            )
    words = command_of([command, *form.args] if command else name.split(" "))
    order = JobOrder(
        message=words.message,
        argv=words.argv,
        task=name,
        retries=_retries(form.first("retries")),
        backoff=_backoff(form.first("backoff")),
    )
    return Push(
        agent=agent,
        actor=actor,
        channel=channel,
        order=order,
        own_id=own_id,
        delay_seconds=_delay(form.first("delay")),
    )


def _delay(text: str) -> int:
    """Read seconds. Anything that is not a number, and a time in the past, counts as no delay."""
    return max(0, int(text)) if _GO_INTEGER.fullmatch(text) else 0


def _retries(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 2 or int(text) > RETRIES_LIMIT:
        raise InvalidRequest(
            _("%(field)s must be a whole number from %(low)s to %(high)s."),
            params={"field": "retries", "low": 0, "high": RETRIES_LIMIT},
        )
    return int(text)


def _backoff(text: str) -> Backoff | None:
    """Read seconds with commas between them."""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,7}(?:,[0-9]{1,7})*", text):
        raise InvalidRequest(_("backoff must be numbers of seconds with commas between them."))
    return check_backoff([int(seconds) for seconds in text.split(",")])


def _go_quoted(text: str) -> str:
    return '"{}"'.format(text[:64].replace("\\", "\\\\").replace('"', '\\"'))


def success_json(data: JsonValue) -> JsonObject:
    """Render what worked."""
    return {"status_code": 200, "message": "ok", "data": data}


def failure_json(message: str) -> JsonObject:
    """Render what did not."""
    return {"status_code": 500, "message": message, "data": None}


def task_json(task: Task) -> JsonObject:
    """Render a task."""
    return {
        "task_id": task.task_id,
        "task_name": task.name,
        "command": {"name": task.argv[0], "args": list(task.argv[1:]) or None},
        "channel": task.channel,
        "status": task.status,
        "execute_at": _time(task.execute_at),
        "retry_count": task.failures,
        "failed_at": _time(task.failed_at),
        "write_backend": False,
        "result": task.result,
    }


def tasks_json(tasks: Tasks) -> JsonObject:
    """Render the tasks of a channel."""
    return {"tasks": [task_json(task) for task in tasks.tasks], "count": tasks.count}


def tasks_by_id_json(tasks: Mapping[str, Task]) -> dict[str, JsonObject]:
    """Render failed or delayed tasks."""
    return {task_id: task_json(task) for task_id, task in tasks.items()}


def pushed_json(pushed: Pushed, name: str) -> JsonObject:
    """Render the outcome of a push."""
    return {"task_id": pushed.task_id, "task_name": name, "result": pushed.is_new}


def _time(moment: dt.datetime | None) -> str:
    return rfc3339(moment) or ZERO_TIME
