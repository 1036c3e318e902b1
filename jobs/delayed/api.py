"""The calls about delayed jobs: of people and their programs, and an agent's to itself."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import JobsUser, caller
from jobs.api.agent import AgentOperation
from jobs.api.fields import read_moment
from jobs.api.lists import read_agent_query
from jobs.api.order import OptionsSerializer
from jobs.delayed.listing import DelayedFilter, list_delayed, read_delayed
from jobs.delayed.release import fire_delayed
from jobs.delayed.service import DelayedRef, cancel_delayed, change_delayed, create_delayed
from jobs.delayed.wire import (
    LARGEST_NUMBER,
    DelayedChangeSerializer,
    NewDelayedJobSerializer,
    delayed_json,
    read_change,
    read_new,
    read_own,
)
from jobs.models import CALLBACK_LENGTH, MESSAGE_LENGTH, DelayedState
from kernel.errors import (
    AgentNotFound,
    DelayedJobLimit,
    IdempotencyMismatch,
    InvalidAgent,
    InvalidDuration,
    InvalidMessage,
    InvalidRequest,
    JobLimit,
    KeyTaken,
    NotFound,
    NotScheduled,
    QueueDraining,
    QueueDuplicate,
    QueueFull,
    QueueNotFound,
    UnavailableAgent,
)
from kernel.http.idempotency import read_idempotency_key
from kernel.http.openapi import PAGE_QUERY, describe, idempotency_header, query, text_of, time_query
from kernel.http.paging import read_cursor, read_limit, write_cursor
from kernel.http.rest import Operation, query_value
from kernel.strictjson import JsonObject
from kernel.transactions import run_one

RACING_TRIES = 64
"""This many callers may replace each other's delayed job at the same time without a 503."""


class DelayedJobSerializer(OptionsSerializer):  # type: ignore[valid-type, misc]  # made of another
    """A delayed job."""

    id = serializers.CharField()
    state = serializers.ChoiceField(choices=DelayedState.values)
    reason = serializers.CharField(
        help_text="The reason why it was canceled, fired without a job of its own, or still waits."
    )
    due_at = serializers.DateTimeField()
    agent_id = serializers.CharField(allow_null=True)
    agent = serializers.CharField(allow_null=True)
    queue = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)
    key = serializers.CharField()
    job_id = serializers.CharField(allow_null=True, help_text="The job that it became.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    fired_at = serializers.DateTimeField(allow_null=True)
    canceled_at = serializers.DateTimeField(allow_null=True)


class DelayedPageSerializer(serializers.Serializer[Any]):
    """A page of delayed jobs, newest first."""

    items = DelayedJobSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class OwnDelayedJobSerializer(serializers.Serializer[Any]):
    """A job that an agent sends to itself, later."""

    message = serializers.CharField(max_length=MESSAGE_LENGTH)
    duration = serializers.CharField(required=False, help_text="Go's format, such as `360h0m0s`; the rest is ignored.")
    days = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_NUMBER)
    hours = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_NUMBER)
    minutes = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_NUMBER)
    callback = serializers.CharField(required=False, allow_blank=True, max_length=CALLBACK_LENGTH)


class DelayedJobs(Operation):
    """/delayed-jobs."""

    authentication_classes = (JobsUser,)

    @describe(
        "delayed_jobs_create",
        "Send a job for later",
        answers={201: DelayedJobSerializer, 200: DelayedJobSerializer},
        errors=[
            AgentNotFound,
            DelayedJobLimit,
            QueueNotFound,
            InvalidAgent,
            InvalidDuration,
            InvalidMessage,
            KeyTaken,
            IdempotencyMismatch,
        ],
        request=NewDelayedJobSerializer,
        parameters=[idempotency_header("1 to 255 characters: the same request again makes no second one.")],
    )
    def post(self, request: Request) -> Response:
        """Store it. 200: one that waits under the key was kept or postponed, and is the answer."""
        key = read_idempotency_key(request.headers.get("Idempotency-Key"))
        new = read_new(self.read_body(request), principal=caller(request), idempotency_key=key)
        stored = run_one(create_delayed, new, attempts=RACING_TRIES)
        location = {"Location": f"/delayed-jobs/{stored.row.pk}"}
        return Response(delayed_json(stored.row), status=201 if stored.created else 200, headers=location)

    @describe(
        "delayed_jobs_list",
        "List delayed jobs, newest first",
        answers={200: DelayedPageSerializer},
        errors=[AgentNotFound],
        parameters=[
            query("state", "Only those in this status.", enum=DelayedState.values),
            query("agent", "Only those of this agent: id, name or alias."),
            query("queue", "Only those of this queue, by its name."),
            query("key", "Only those with this key: those that were, too."),
            time_query("due_after", "A time with a zone, such as 2030-01-31T08:00:00Z."),
            time_query("due_before", "A time with a zone."),
            *PAGE_QUERY,
        ],
    )
    def get(self, request: Request) -> Response:
        """Return a page of the caller's delayed jobs."""
        page = list_delayed(
            viewer=caller(request),
            wanted=_read_filter(request),
            older_than=read_cursor(request),
            size=read_limit(request),
        )
        answer: JsonObject = {"items": [delayed_json(row) for row in page.rows], "next": write_cursor(page.older)}
        return Response(answer)

    @describe(
        "delayed_jobs_cancel_by_key",
        "Take back the delayed job that waits under a key",
        answers={200: DelayedJobSerializer},
        errors=[NotFound],
        parameters=[query("key", "The key that it was sent with.", text_of(1), required=True)],
    )
    def delete(self, request: Request) -> Response:
        """Cancel it. 404 where none waits under the key: it has fired, or was canceled."""
        key = query_value(request, "key")
        if not key:
            raise InvalidRequest(_("Send key."))
        row = run_one(cancel_delayed, DelayedRef(owner_id=caller(request).owner_id, key=key))
        return _answer(request, row.pk)


class OneDelayedJob(Operation):
    """/delayed-jobs/{id}."""

    authentication_classes = (JobsUser,)

    @describe("delayed_jobs_read", "Read a delayed job", answers={200: DelayedJobSerializer}, errors=[NotFound])
    def get(self, request: Request, delayed_id: str) -> Response:
        """Return it: `job_id` is set once it has fired."""
        return _answer(request, delayed_id)

    @describe(
        "delayed_jobs_change",
        "Postpone or change a delayed job",
        answers={200: DelayedJobSerializer},
        errors=[InvalidDuration, InvalidMessage, NotFound, NotScheduled],
        request=DelayedChangeSerializer,
    )
    def patch(self, request: Request, delayed_id: str) -> Response:
        """Change its moment and its options while it is scheduled. `delay` counts from now."""
        run_one(change_delayed, read_change(self.read_body(request), principal=caller(request), delayed_id=delayed_id))
        return _answer(request, delayed_id)

    @describe(
        "delayed_jobs_cancel",
        "Take a delayed job back",
        answers={200: DelayedJobSerializer},
        errors=[NotFound, NotScheduled],
    )
    def delete(self, request: Request, delayed_id: str) -> Response:
        """Cancel it. 409 where it has fired: its job may be canceled then."""
        run_one(cancel_delayed, DelayedRef(owner_id=caller(request).owner_id, delayed_id=delayed_id))
        return _answer(request, delayed_id)


class DelayedJobFire(Operation):
    """/delayed-jobs/{id}/fire."""

    authentication_classes = (JobsUser,)

    @describe(
        "delayed_jobs_fire",
        "Fire a delayed job now",
        answers={200: DelayedJobSerializer},
        errors=[NotFound, NotScheduled, JobLimit, QueueDraining, QueueDuplicate, QueueFull],
    )
    def post(self, request: Request, delayed_id: str) -> Response:
        """Fire it before its moment, once. If it has fired already, return it unchanged."""
        run_one(fire_delayed, DelayedRef(owner_id=caller(request).owner_id, delayed_id=delayed_id))
        return _answer(request, delayed_id)


class AgentDelaysJob(AgentOperation):
    """POST /agent/job/delayed."""

    @describe(
        "agent_job_delayed",
        "Send a job to oneself, later",
        answers={201: None},
        errors=[DelayedJobLimit, InvalidDuration, InvalidMessage, UnavailableAgent, IdempotencyMismatch],
        request=OwnDelayedJobSerializer,
        parameters=[idempotency_header("1 to 255 characters: the same request again makes no second one.")],
    )
    def post(self, request: Request) -> Response:
        """Store a delayed job for the agent that calls; its source is `agent:<id>`."""
        key = read_idempotency_key(request.headers.get("Idempotency-Key"))
        new = read_own(self.read_body(request), principal=caller(request), idempotency_key=key)
        run_one(create_delayed, new)
        return Response(status=201)


def _answer(request: Request, delayed_id: str) -> Response:
    return Response(delayed_json(read_delayed(viewer=caller(request), delayed_id=delayed_id)))


def _read_filter(request: Request) -> DelayedFilter:
    state = query_value(request, "state")
    if state is not None and state not in DelayedState.values:
        words = ", ".join(DelayedState.values)
        raise InvalidRequest(_("%(field)s is one of: %(words)s."), params={"field": "state", "words": words})
    moments = {name: query_value(request, name) for name in ("due_after", "due_before")}
    return DelayedFilter(
        state=None if state is None else DelayedState(state),
        agent_id=read_agent_query(request, caller(request)),
        queue=query_value(request, "queue"),
        key=query_value(request, "key"),
        due_after=read_moment(moments, "due_after"),
        due_before=read_moment(moments, "due_before"),
    )
