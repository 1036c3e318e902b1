"""The calls of people and their programs about one job: send it, read it, wait for it."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import JobsUser, JobsUserByQuery, caller
from accounts.services.tokens import note_token_in_query
from jobs.api import reading, rendering
from jobs.api.direct import DirectBackend, HotOperation
from jobs.api.lists import job_page
from jobs.api.order import QueuedSerializer
from jobs.api.schema import (
    LINE_PATTERN,
    JobPageSerializer,
    LineSerializer,
    LogPartSerializer,
    WholeJobSerializer,
)
from jobs.gateway.user_calls import UserCalls
from jobs.life.cancel import cancel_job
from jobs.life.read import read_job
from jobs.life.submit import submit_jobs
from jobs.states import JobStatus
from kernel.errors import (
    AgentNotFound,
    IdempotencyMismatch,
    InvalidAgent,
    InvalidMessage,
    InvalidRequest,
    JobFinished,
    JobLimit,
    NotFound,
    QueueDraining,
    QueueDuplicate,
    QueueFull,
    QueueNotFound,
)
from kernel.http.idempotency import read_idempotency_key
from kernel.http.oneline import read_fields
from kernel.http.openapi import (
    PAGE_QUERY,
    describe,
    idempotency_header,
    query,
    time_query,
    wait_query,
    whole_number,
)
from kernel.http.prefetch import is_prefetch
from kernel.http.rest import Operation
from kernel.transactions import run_one

_WAIT = wait_query("Seconds to wait for the end of the job")


class AddJobLine(HotOperation):
    """/job/add: the call of the original service."""

    authentication_classes = (JobsUserByQuery,)
    ignores_unknown = True

    @describe(
        "job_add",
        "Send a job in one line",
        answers={201: None},
        errors=[AgentNotFound, InvalidAgent, InvalidMessage, JobLimit],
        request=LineSerializer,
        one_line=True,
        gateway=True,
    )
    def post(self, request: Request) -> Response:
        """Store a job for an agent that is online. `Location` names the job."""
        return self.run(request, UserCalls(DirectBackend()).add_line)

    @describe(
        "job_add_get",
        "Send a job in one line, from a browser or a script without a body",
        answers={201: None},
        errors=[AgentNotFound, InvalidAgent, InvalidMessage, JobLimit],
        parameters=[
            query(
                "msg", "`<agent name or alias> <job text>`", {"type": "string", "pattern": LINE_PATTERN}, required=True
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """The same. A browser that fetches ahead and a robot that makes a preview send nothing."""
        if is_prefetch(request):
            raise InvalidRequest(_("A link that is fetched ahead or for a preview sends nothing."))
        principal = caller(request)
        if "token" in request.query_params:
            note_token_in_query(owner_id=principal.owner_id, scope=principal.scope, actor=principal.actor)
        key = read_idempotency_key(request.headers.get("Idempotency-Key"))
        line = read_fields(b"", None, request.query_params.getlist)["message"]
        job = run_one(submit_jobs, reading.read_job_line(line, principal=principal, idempotency_key=key))
        return Response(status=201, headers={"Location": f"/jobs/{job.pk}"})


class Jobs(HotOperation):
    """/jobs."""

    authentication_classes = (JobsUser,)

    @describe(
        "jobs_create",
        "Send a job",
        answers={201: WholeJobSerializer},
        errors=[
            AgentNotFound,
            InvalidAgent,
            InvalidMessage,
            IdempotencyMismatch,
            JobLimit,
            QueueDraining,
            QueueDuplicate,
            QueueFull,
            QueueNotFound,
        ],
        request=QueuedSerializer,
        parameters=[
            _WAIT,
            idempotency_header("1 to 255 characters: the same request again makes no second job, for 7 days."),
        ],
        gateway=True,
    )
    def post(self, request: Request) -> Response:
        """Store a job and answer with it; with `wait`, after its end or when the time is over."""
        return self.run(request, UserCalls(DirectBackend()).add_job)

    @describe(
        "jobs_list",
        "List jobs, newest first",
        answers={200: JobPageSerializer},
        errors=[AgentNotFound],
        parameters=[
            query("status", "Only jobs in this status.", enum=JobStatus.values),
            query("agent", "Only jobs of this agent: id, name or alias."),
            query("source", "Only jobs from this source."),
            time_query("created_after", "A time with a zone, such as 2030-01-31T08:00:00Z."),
            time_query("created_before", "A time with a zone."),
            *PAGE_QUERY,
        ],
    )
    def get(self, request: Request) -> Response:
        """Return a page of the caller's jobs."""
        return Response(job_page(request, caller(request)))


class OneJob(HotOperation):
    """/jobs/{id}."""

    authentication_classes = (JobsUser,)

    @describe(
        "jobs_read",
        "Read a job with its output and timeline",
        answers={200: WholeJobSerializer},
        errors=[NotFound],
        parameters=[_WAIT],
        gateway=True,
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Return a job; with `wait`, after its end or when the time is over."""
        return self.run(request, UserCalls(DirectBackend()).read_job, job_id=job_id)


class JobCancel(Operation):
    """/jobs/{id}/cancel."""

    authentication_classes = (JobsUser,)

    @describe(
        "jobs_cancel",
        "Take a job back",
        answers={200: WholeJobSerializer},
        errors=[JobFinished, NotFound],
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Cancel a job that has not started; ask its agent to end one that has: `cancel_requested_at` is set then.

        The agent ends the command with everything it started and reports `failed`, reason `canceled`. Agents that
        speak protocol 1 never see the request.
        """
        principal = caller(request)
        cancel_job(owner_id=principal.owner_id, job_id=job_id, actor=principal.actor)
        return Response(rendering.whole_job_json(read_job(owner_id=principal.owner_id, job_id=job_id)))


class JobLog(HotOperation):
    """/jobs/{id}/log."""

    authentication_classes = (JobsUser,)

    @describe(
        "jobs_log",
        "Read what a job prints, while it runs",
        answers={200: LogPartSerializer},
        errors=[NotFound],
        parameters=[
            query("offset", "The first byte wanted; `next` of the part before.", whole_number(0, 999_999_999)),
            wait_query("Seconds to wait for something new"),
        ],
        gateway=True,
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Return at most 256 KiB; with `wait`, when there is something, or the log is complete, or the time is over."""
        return self.run(request, UserCalls(DirectBackend()).read_log, job_id=job_id)
