"""The calls of agents: poll, report, add a job for an agent of the same owner."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import CallingAgent, caller
from accounts.credentials import Principal, identify_again, require_agent
from agents.services.presence import AgentTouch, touch_agents
from jobs import wire
from jobs.api.schema import AgentJobSerializer, LineSerializer, ReportSerializer
from jobs.services.alone import run_alone
from jobs.services.claim import Claim, claim_within
from jobs.services.report import ReportKind, report_jobs
from jobs.services.submit import submit_jobs
from kernel.addresses import caller_address
from kernel.errors import (
    AgentNotFound,
    InvalidAgent,
    InvalidMessage,
    JobFinished,
    JobNotFound,
    NotFound,
    UnavailableAgent,
)
from kernel.openapi import describe, header, query
from kernel.rest import Operation


class AgentOperation(Operation):
    """A call with an agent's token. Each is a sign of life."""

    authentication_classes = (CallingAgent,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Note that the agent was heard, from where and in which version."""
        super().initial(request, *args, **kwargs)
        ip = caller_address(
            request.META.get("REMOTE_ADDR"), request.headers.get("X-Forwarded-For"), settings.TRUSTED_PROXIES
        )
        version = wire.read_agent_version(request.headers.get("Skadi-Agent"))
        touch_agents([AgentTouch(agent_id=caller(request).agent_id, ip=ip, version=version)])


class NextJob(AgentOperation):
    """GET /agent/job."""

    @describe(
        "agent_job",
        "Take the next job",
        answers={200: AgentJobSerializer, 204: None},
        errors=[UnavailableAgent],
        parameters=[
            query("wait", "Seconds to hold the call until a job comes, at most 55.", int),
            header("Skadi-Agent", "The agent's version and platform, shown to its owner."),
        ],
        gateway=True,
    )
    def get(self, request: Request) -> Response:
        """Hand the agent its oldest due job, once. 204: none. Counts as a sign of life."""
        principal = caller(request)
        seconds = wire.read_wait(request.query_params.getlist("wait"))
        job = claim_within(
            claim=Claim(agent_id=principal.agent_id), seconds=seconds, check_caller=lambda: _check_again(principal)
        )
        return Response(status=204) if job is None else Response(wire.agent_job_json(job))


def _check_again(principal: Principal) -> None:
    require_agent(identify_again(principal))


class _Report(AgentOperation):
    """A report on one job; the subclasses say which."""

    body_limit = wire.REPORT_BODY_LIMIT
    kind: ReportKind

    def _take(self, request: Request, job_id: str) -> Response:
        data = self.read_body(request)
        report = wire.read_report(data, kind=self.kind, job_id=job_id, principal=caller(request))
        run_alone(report_jobs, report)
        return Response(status=204)


class JobRunning(_Report):
    """PUT /agent/jobs/{id}/running."""

    kind = ReportKind.RUNNING

    @describe(
        "agent_job_running",
        "Say that a job is running",
        answers={204: None},
        errors=[JobNotFound, UnavailableAgent, NotFound],
        request=ReportSerializer,
        gateway=True,
    )
    def put(self, request: Request, job_id: str) -> Response:
        """Begin the lease anew. `result` may tell how far the job is."""
        return self._take(request, job_id)


class JobSucceed(_Report):
    """PUT /agent/jobs/{id}/succeed."""

    kind = ReportKind.SUCCEED

    @describe(
        "agent_job_succeed",
        "Say that a job succeeded",
        answers={204: None},
        errors=[JobFinished, JobNotFound, UnavailableAgent, NotFound],
        request=ReportSerializer,
        gateway=True,
    )
    def put(self, request: Request, job_id: str) -> Response:
        """End the job; the first end stands. One late end is taken within seven days of an expiry."""
        return self._take(request, job_id)


class JobFail(_Report):
    """PUT /agent/jobs/{id}/fail."""

    kind = ReportKind.FAIL

    @describe(
        "agent_job_fail",
        "Say that a job failed",
        answers={204: None},
        errors=[JobFinished, JobNotFound, UnavailableAgent, NotFound],
        request=ReportSerializer,
        gateway=True,
    )
    def put(self, request: Request, job_id: str) -> Response:
        """End the job; the first end stands. One late end is taken within seven days of an expiry."""
        return self._take(request, job_id)


class AgentAddsJob(AgentOperation):
    """POST /agent/job/add."""

    @describe(
        "agent_job_add",
        "Send a job to an agent of the same owner",
        answers={201: None},
        errors=[AgentNotFound, InvalidAgent, InvalidMessage, UnavailableAgent],
        request=LineSerializer,
    )
    def post(self, request: Request) -> Response:
        """Store a job whose source is `agent:<id>`."""
        line = self.read_body(request).get("message")
        run_alone(submit_jobs, wire.read_job_line(line, principal=caller(request)))
        return Response(status=201)
