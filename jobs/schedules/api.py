"""/schedules: jobs that come again and again. A schedule is asked for by its id or its name."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import JobsUser, allowed_body, caller
from jobs.api.lists import read_agent_query
from jobs.api.order import OptionsSerializer
from jobs.models import Outcome, Overlap, Schedule
from jobs.schedules.cron.schedule import InvalidSchedule
from jobs.schedules.jobs import run_now
from jobs.schedules.preview import preview_fields, preview_schedule
from jobs.schedules.service import (
    ScheduleFilter,
    change_schedule,
    create_schedule,
    delete_schedule,
    find_schedule,
    list_runs,
    list_schedules,
    pause_schedule,
    put_schedule,
    resume_schedule,
)
from jobs.schedules.wire import (
    MissedSerializer,
    PauseSerializer,
    ScheduleBodySerializer,
    ScheduleChangeSerializer,
    TimingSerializer,
    preview_json,
    read_change,
    read_schedule,
    run_json,
    schedule_json,
)
from jobs.watch.service import forget_schedule
from kernel.errors import (
    AgentNotFound,
    InvalidAgent,
    InvalidDuration,
    InvalidMessage,
    InvalidRequest,
    JobLimit,
    NameTaken,
    QueueDraining,
    QueueDuplicate,
    QueueFull,
    QueueNotFound,
    ScheduleLimit,
    ScheduleNotFound,
)
from kernel.http.bodies import checked_body
from kernel.http.idempotency import read_idempotency_key
from kernel.http.openapi import PAGE_QUERY, describe, idempotency_header, query
from kernel.http.paging import read_cursor, read_limit, write_cursor
from kernel.http.rest import Operation, query_value
from kernel.strictjson import JsonObject

_REFUSALS = [AgentNotFound, InvalidAgent, InvalidDuration, InvalidMessage, InvalidSchedule, NameTaken, QueueNotFound]


class ScheduleSerializer(OptionsSerializer):  # type: ignore[valid-type, misc]  # made of another
    """A schedule."""

    id = serializers.CharField()
    name = serializers.CharField()
    enabled = serializers.BooleanField()
    cron = serializers.CharField()
    timezone = serializers.CharField()
    agent_id = serializers.CharField(allow_null=True)
    agent = serializers.CharField(allow_null=True)
    queue = serializers.CharField(allow_null=True)
    calendar = serializers.CharField(allow_null=True)
    only_working_days = serializers.BooleanField()
    jitter = serializers.CharField()
    missed = MissedSerializer()
    overlap = serializers.ChoiceField(choices=Overlap.values)
    blackout = serializers.ListField(child=serializers.DictField())
    paused_until = serializers.DateTimeField(allow_null=True)
    grace = serializers.CharField(allow_null=True)
    next_at = serializers.DateTimeField(allow_null=True, help_text="The next moment that is looked at.")
    expected_at = serializers.DateTimeField(allow_null=True, help_text="By then a good result is expected.")
    alerted_at = serializers.DateTimeField(allow_null=True, help_text="Its owner got a message that none came.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class SchedulePageSerializer(serializers.Serializer[Any]):
    """A page of schedules, newest first."""

    items = ScheduleSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class RunSerializer(serializers.Serializer[Any]):
    """The outcome of an occurrence."""

    id = serializers.CharField()
    due_at = serializers.DateTimeField(help_text="The moment; of several in one row, the first.")
    outcome = serializers.ChoiceField(choices=Outcome.values)
    reason = serializers.CharField()
    count = serializers.IntegerField(help_text="The number of moments that the row covers.")
    job_id = serializers.CharField(allow_null=True, help_text="The job that it started.")
    created_at = serializers.DateTimeField()


class RunPageSerializer(serializers.Serializer[Any]):
    """A page of outcomes, the latest decision first."""

    items = RunSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class _ComingRunSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    local = serializers.CharField(help_text="The same, as clocks of the schedule's zone show it.")


class PreviewSerializer(serializers.Serializer[Any]):
    """The meaning of an expression."""

    runs = _ComingRunSerializer(many=True)
    sentences = serializers.DictField(child=serializers.CharField(), help_text="By language: `zh-hans` and `en`.")
    warnings = serializers.ListField(child=serializers.CharField())


class Schedules(Operation):
    """/schedules."""

    authentication_classes = (JobsUser,)

    @describe(
        "schedules_create",
        "Make a schedule",
        answers={201: ScheduleSerializer},
        errors=[*_REFUSALS, ScheduleLimit],
        request=ScheduleBodySerializer,
    )
    def post(self, request: Request) -> Response:
        """Make a schedule; `PUT /schedules/{name}` does it again and again."""
        principal = caller(request)
        fields = read_schedule(allowed_body(request, self.read_body(request)))
        schedule = create_schedule(owner_id=principal.owner_id, fields=fields, actor=principal.actor)
        return _answer(schedule, status=201)

    @describe(
        "schedules_list",
        "List schedules, newest first",
        answers={200: SchedulePageSerializer},
        errors=[AgentNotFound],
        parameters=[
            query("agent", "Only those of this agent: id, name or alias."),
            query("enabled", "Only those that are on, or off.", enum=["true", "false"]),
            *PAGE_QUERY,
        ],
    )
    def get(self, request: Request) -> Response:
        """Return a page of the caller's schedules."""
        page = list_schedules(
            viewer=caller(request),
            wanted=_read_filter(request),
            older_than=read_cursor(request),
            size=read_limit(request),
        )
        answer: JsonObject = {
            "items": [schedule_json(row) for row in page.rows],
            "next": write_cursor(page.older),
        }
        return Response(answer)


class OneSchedule(Operation):
    """/schedules/{id or name}."""

    authentication_classes = (JobsUser,)

    @describe("schedules_read", "Read a schedule", answers={200: ScheduleSerializer}, errors=[ScheduleNotFound])
    def get(self, request: Request, schedule_id: str) -> Response:
        """Return a schedule."""
        return _answer(_the_schedule(request, schedule_id))

    @describe(
        "schedules_put",
        "Make a schedule, or let it be so",
        answers={200: ScheduleSerializer, 201: ScheduleSerializer},
        errors=[*_REFUSALS, ScheduleLimit, ScheduleNotFound],
        request=ScheduleBodySerializer,
    )
    def put(self, request: Request, schedule_id: str) -> Response:
        """Make the schedule of that name (201), or let the one that there is be as the body says and no more (200)."""
        principal = caller(request)
        schedule, made = put_schedule(
            owner_id=principal.owner_id,
            called=schedule_id,
            fields=read_schedule(allowed_body(request, self.read_body(request))),
            actor=principal.actor,
        )
        return _answer(schedule, status=201 if made else 200)

    @describe(
        "schedules_change",
        "Change a schedule",
        answers={200: ScheduleSerializer},
        errors=[*_REFUSALS, ScheduleNotFound],
        request=ScheduleChangeSerializer,
    )
    def patch(self, request: Request, schedule_id: str) -> Response:
        """Change what is given. Another cron, time zone or calendar counts from now on."""
        fields = read_change(allowed_body(request, self.read_body(request)))
        return _answer(change_schedule(schedule=_the_schedule(request, schedule_id), fields=fields))

    @describe("schedules_delete", "Remove a schedule", answers={204: None}, errors=[ScheduleNotFound])
    def delete(self, request: Request, schedule_id: str) -> Response:
        """Remove a schedule and what is known of its moments. Jobs that it has started go on."""
        delete_schedule(schedule=_the_schedule(request, schedule_id))
        return Response(status=204)


class ScheduleRunNow(Operation):
    """/schedules/{id or name}/run."""

    authentication_classes = (JobsUser,)

    @describe(
        "schedules_run",
        "Start a schedule's job now",
        answers={201: RunSerializer},
        errors=[ScheduleNotFound, InvalidAgent, JobLimit, QueueDraining, QueueDuplicate, QueueFull],
        parameters=[idempotency_header("1 to 255 characters: the same request again starts no second job.")],
    )
    def post(self, request: Request, schedule_id: str) -> Response:
        """Start a job at once, also of a schedule that is off, paused, or busy. Its own moments come as before."""
        key = read_idempotency_key(request.headers.get("Idempotency-Key"))
        schedule = _the_schedule(request, schedule_id)
        run = run_now(schedule, actor=caller(request).actor, key=key)
        return Response(run_json(run), status=201, headers={"Location": f"/jobs/{run.job_id}"})


class SchedulePause(Operation):
    """/schedules/{id or name}/pause."""

    authentication_classes = (JobsUser,)

    @describe(
        "schedules_pause",
        "Pause a schedule",
        answers={200: ScheduleSerializer},
        errors=[ScheduleNotFound],
        request=PauseSerializer,
    )
    def post(self, request: Request, schedule_id: str) -> Response:
        """Let nothing run `until` a time: each moment before it is noted as paused. Without one: switch it off."""
        until = checked_body(PauseSerializer, self.read_body(request)).get("until")
        return _answer(pause_schedule(schedule=_the_schedule(request, schedule_id), until=until))


class ScheduleResume(Operation):
    """/schedules/{id or name}/resume."""

    authentication_classes = (JobsUser,)

    @describe("schedules_resume", "Resume a schedule", answers={200: ScheduleSerializer}, errors=[ScheduleNotFound])
    def post(self, request: Request, schedule_id: str) -> Response:
        """End a pause, or switch it on again. Missed runs are not caught up."""
        return _answer(resume_schedule(schedule=_the_schedule(request, schedule_id)))


class ScheduleForget(Operation):
    """/schedules/{id or name}/forget."""

    authentication_classes = (JobsUser,)

    @describe(
        "schedules_forget",
        "Forget what a schedule's runs are compared with",
        answers={204: None},
        errors=[ScheduleNotFound],
    )
    def post(self, request: Request, schedule_id: str) -> Response:
        """Treat the next run as the first: without a baseline and without earlier failures."""
        forget_schedule(_the_schedule(request, schedule_id))
        return Response(status=204)


class ScheduleRuns(Operation):
    """/schedules/{id or name}/runs."""

    authentication_classes = (JobsUser,)

    @describe(
        "schedules_runs",
        "What became of a schedule's moments, newest first",
        answers={200: RunPageSerializer},
        errors=[ScheduleNotFound],
        parameters=[
            *PAGE_QUERY,
        ],
    )
    def get(self, request: Request, schedule_id: str) -> Response:
        """Return a page: the job that a moment started, or why it started none."""
        schedule = _the_schedule(request, schedule_id)
        page = list_runs(schedule, older_than=read_cursor(request), size=read_limit(request))
        answer: JsonObject = {"items": [run_json(run) for run in page.rows], "next": write_cursor(page.older)}
        return Response(answer)


class SchedulePreview(Operation):
    """/schedules/{id or name}/preview."""

    authentication_classes = (JobsUser,)

    @describe(
        "schedules_preview",
        "When a schedule runs next",
        answers={200: PreviewSerializer},
        errors=[ScheduleNotFound, InvalidSchedule],
    )
    def get(self, request: Request, schedule_id: str) -> Response:
        """Return the next ten runs, one sentence in Chinese and English, and warnings."""
        return Response(preview_json(preview_schedule(_the_schedule(request, schedule_id))))


class PreviewExpression(Operation):
    """/schedules/preview."""

    authentication_classes = (JobsUser,)

    @describe(
        "schedules_preview_expression",
        "When an expression would run",
        answers={200: PreviewSerializer},
        errors=[InvalidSchedule],
        request=TimingSerializer,
    )
    def post(self, request: Request) -> Response:
        """Return the same for an expression that is not stored yet. The same errors as for a schedule apply."""
        fields = read_schedule(allowed_body(request, self.read_body(request)))
        return Response(preview_json(preview_fields(owner_id=caller(request).owner_id, fields=fields)))


def _the_schedule(request: Request, called: str) -> Schedule:
    return find_schedule(viewer=caller(request), called=called)


def _answer(schedule: Schedule, *, status: int = 200) -> Response:
    headers = {"Location": f"/schedules/{schedule.pk}"} if status == 201 else None
    return Response(schedule_json(schedule), status=status, headers=headers)


def _read_filter(request: Request) -> ScheduleFilter:
    enabled = query_value(request, "enabled")
    if enabled not in (None, "true", "false"):
        raise InvalidRequest(_("%(field)s must be true or false."), params={"field": "enabled"})
    return ScheduleFilter(
        agent_id=read_agent_query(request, caller(request)),
        enabled=None if enabled is None else enabled == "true",
    )
