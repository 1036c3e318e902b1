"""The HTTP API of coyotes for one agent: form bodies, HTTP 200 whatever happened, the original's envelopes and words.

Only authentication, the agent lookup, the body limit and server errors are answered like in the rest of our API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import JobsUserByBasic, caller
from accounts.services.tokens import note_token_in_query
from agents.models import Agent
from agents.services.find import find_agent
from jobs.coyotes import channels, failed, tasks, wire
from jobs.coyotes.task import task_of_job
from jobs.coyotes.words import NO_TASK, Refusal
from jobs.models import Queue
from kernel.errors import AgentNotFound, AppError, TooLarge
from kernel.http.openapi import describe
from kernel.http.rest import Operation
from kernel.strictjson import JsonObject, JsonValue

_STARTED_AT = timezone.now()
_SERVER_FAULT = 500


class EnvelopeSerializer(serializers.Serializer[Any]):
    """The answer of every call, with HTTP 200."""

    status_code = serializers.IntegerField(help_text="200, or 500 where `message` says what is wrong.")
    message = serializers.CharField(help_text="`ok`, or the original's words.")
    # A field of a form, and the attribute of the original that it sets. A value of any type, also null.
    data = serializers.JSONField()  # type: ignore[assignment]


class ChannelFormSerializer(serializers.Serializer[Any]):
    """A channel."""

    name = serializers.CharField()
    distinct = serializers.CharField(required=False, help_text="Only the word `true` means it.")
    worker = serializers.IntegerField(help_text="How many tasks at a time; 0: five.")


class TaskFormSerializer(serializers.Serializer[Any]):
    """A task."""

    task = serializers.CharField(help_text="Its name; without `command`, the command, split at single spaces.")
    command = serializers.CharField(required=False)
    args = serializers.CharField(required=False, help_text="May be sent again and again, the order counts.")
    delay = serializers.IntegerField(required=False, help_text="Seconds.")
    id = serializers.CharField(required=False, help_text="Your own name for the task; once for each task.")
    retries = serializers.IntegerField(required=False, help_text="Further attempts, 0 to 10.")
    backoff = serializers.CharField(required=False, help_text="Seconds before each, such as `10,60,300`.")


class CoyotesOperation(Operation):
    """Base of these calls."""

    authentication_classes = (JobsUserByBasic,)
    ignores_unknown = True

    def find(self, request: Request, agent_id: str) -> Agent:
        """Return the caller's agent; raise AgentNotFound."""
        principal = caller(request)
        if "token" in request.query_params:
            note_token_in_query(owner_id=principal.owner_id, scope=principal.scope, actor=principal.actor)
        return find_agent(viewer=principal, called=agent_id)

    def answer(self, request: Request, agent_id: str, work: Callable[[Agent], object]) -> Response:
        """Answer with what `work` returns, in an envelope, or with why it refuses."""
        agent = self.find(request, agent_id)
        try:
            body = wire.success_json(cast(JsonValue, work(agent)))
        except AppError as error:
            if error.status >= _SERVER_FAULT or isinstance(error, TooLarge):
                raise
            body = wire.failure_json(error.message)
        return Response(body, content_type="application/json; charset=utf-8")

    def form(self, request: Request) -> wire.Form:
        """Read the body. Raises TooLarge, InvalidRequest."""
        return wire.read_form(request.headers.get("Content-Type") or "", self.read_bytes(request))

    def push(self, request: Request, agent_id: str, channel: str) -> Response:
        """Put a task into a channel."""

        def work(agent: Agent) -> JsonObject:
            push = wire.read_push(self.form(request), agent, channel=channel, actor=caller(request).actor)
            return wire.pushed_json(tasks.push_task(push), push.order.task)

        return self.answer(request, agent_id, work)


def _describe(name: str, summary: str, form: type[serializers.Serializer[Any]] | None = None) -> Callable[[Any], Any]:
    return describe(
        f"coyotes_{name}",
        summary,
        answers={200: EnvelopeSerializer},
        errors=[AgentNotFound],
        request=form,
        form=form is not None,
    )


def _channel(agent: Agent, name: str) -> Queue:
    """Return a channel in which a task is looked for; where there is no channel, there is no task."""
    queue = channels.find_channel(agent, name)
    if queue is None:
        raise Refusal(NO_TASK)
    return queue


class Home(CoyotesOperation):
    """/coyotes/{agent}/: the base URL of such a client, and its slash."""

    @describe(
        "coyotes_home",
        "See how many tasks were done",
        answers={(200, "text/html"): OpenApiTypes.STR},
        errors=[AgentNotFound],
    )
    def get(self, request: Request, agent_id: str) -> HttpResponse:
        """A page: version, start of this server, how many tasks ended and how, how many channels there are."""
        agent = self.find(request, agent_id)
        shown = {
            "agent": agent,
            "counts": tasks.count_tasks(agent),
            "started_at": _STARTED_AT,
            "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        }
        return render(request._request, "jobs/coyotes.html", shown)


class Channels(CoyotesOperation):
    """/coyotes/{agent}/channels."""

    @_describe("channels_list", "List channels and their tasks")
    def get(self, request: Request, agent_id: str) -> Response:
        """`data`: `{"tasks", "count"}` by channel. At most 1,000 tasks of each are shown, `count` counts all."""

        def work(agent: Agent) -> Mapping[str, JsonObject]:
            found = channels.channels_of(agent)
            return {name: wire.tasks_json(tasks.tasks_of(queue)) for name, queue in found.items()}

        return self.answer(request, agent_id, work)

    @_describe("channels_create", "Make a channel", ChannelFormSerializer)
    def post(self, request: Request, agent_id: str) -> Response:
        """`data` is null."""

        def work(agent: Agent) -> None:
            channels.add_channel(wire.read_channel(self.form(request), agent))

        return self.answer(request, agent_id, work)


class OneChannel(CoyotesOperation):
    """/coyotes/{agent}/channels/{channel}."""

    @_describe("channels_read", "List the tasks of a channel")
    def get(self, request: Request, agent_id: str, channel: str) -> Response:
        """`data`: `{"tasks", "count"}`, those that wait and those that run; nothing for a channel that is none."""

        def work(agent: Agent) -> JsonObject:
            queue = channels.find_channel(agent, channel)
            return wire.tasks_json(tasks.tasks_of(queue)) if queue else {"tasks": [], "count": 0}

        return self.answer(request, agent_id, work)

    @_describe("tasks_create_short", "Push a task: the older form of the call", TaskFormSerializer)
    def post(self, request: Request, agent_id: str, channel: str) -> Response:
        """The same as POST …/tasks."""
        return self.push(request, agent_id, channel)

    @_describe("channels_delete", "Forget a channel")
    def delete(self, request: Request, agent_id: str, channel: str) -> Response:
        """`data` is null. Its tasks still run. The four built-in channels stay."""
        return self.answer(request, agent_id, lambda agent: channels.forget_channel(agent, channel))


class Tasks(CoyotesOperation):
    """/coyotes/{agent}/channels/{channel}/tasks."""

    @_describe("tasks_create", "Push a task", TaskFormSerializer)
    def post(self, request: Request, agent_id: str, channel: str) -> Response:
        """`data`: `{"task_id", "task_name", "result"}`; `result` is false where the task is there already."""
        return self.push(request, agent_id, channel)


class OneTask(CoyotesOperation):
    """/coyotes/{agent}/channels/{channel}/tasks/{task}."""

    @_describe("tasks_cancel", "Take a task back")
    def delete(self, request: Request, agent_id: str, channel: str, task_id: str) -> Response:
        """`data`: the task. The agent ends a running task."""
        actor = caller(request).actor
        return self.answer(
            request,
            agent_id,
            lambda agent: wire.task_json(tasks.cancel_task(_channel(agent, channel), task_id, actor=actor)),
        )


class FailedTasks(CoyotesOperation):
    """/coyotes/{agent}/channels/{channel}/failed-tasks."""

    @_describe("failed_tasks_list", "List the failed tasks of a channel")
    def get(self, request: Request, agent_id: str, channel: str) -> Response:
        """`data`: tasks by id, kept for 30 days; `result` says why."""

        def work(agent: Agent) -> Mapping[str, JsonObject]:
            queue = channels.find_channel(agent, channel)
            return wire.tasks_by_id_json(failed.failed_tasks(queue) if queue else {})

        return self.answer(request, agent_id, work)


class OneFailedTask(CoyotesOperation):
    """/coyotes/{agent}/channels/{channel}/failed-tasks/{task}."""

    @_describe("failed_tasks_read", "Read a failed task")
    def get(self, request: Request, agent_id: str, channel: str, task_id: str) -> Response:
        """`data`: the task."""

        def work(agent: Agent) -> JsonObject:
            queue = _channel(agent, channel)
            return wire.task_json(task_of_job(failed.failed_job(queue, task_id), queue))

        return self.answer(request, agent_id, work)

    @_describe("failed_tasks_retry", "Try a failed task again")
    def post(self, request: Request, agent_id: str, channel: str, task_id: str) -> Response:
        """`data` is null."""
        actor = caller(request).actor

        def work(agent: Agent) -> None:
            failed.retry_failed_task(_channel(agent, channel), task_id, actor=actor)

        return self.answer(request, agent_id, work)

    @_describe("failed_tasks_delete", "Remove a failed task")
    def delete(self, request: Request, agent_id: str, channel: str, task_id: str) -> Response:
        """`data`: the task."""
        return self.answer(
            request,
            agent_id,
            lambda agent: wire.task_json(failed.forget_failed_task(_channel(agent, channel), task_id)),
        )


class DelayedTasks(CoyotesOperation):
    """/coyotes/{agent}/delay-tasks."""

    @_describe("delay_tasks_list", "List the tasks that are not due yet")
    def get(self, request: Request, agent_id: str) -> Response:
        """`data`: tasks by id."""
        return self.answer(request, agent_id, lambda agent: wire.tasks_by_id_json(tasks.delayed_tasks(agent)))


class OneDelayedTask(CoyotesOperation):
    """/coyotes/{agent}/delay-tasks/{task}."""

    @_describe("delay_tasks_read", "Read a task that is not due yet")
    def get(self, request: Request, agent_id: str, task_id: str) -> Response:
        """`data`: the task."""
        return self.answer(request, agent_id, lambda agent: wire.task_json(tasks.delayed_task(agent, task_id)))

    @_describe("delay_tasks_delete", "Take back a task that is not due yet")
    def delete(self, request: Request, agent_id: str, task_id: str) -> Response:
        """`data`: the task."""
        return self.answer(request, agent_id, lambda agent: wire.task_json(tasks.cancel_delayed_task(agent, task_id)))
