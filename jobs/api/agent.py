"""The calls of agents: poll, report, add a job for an agent of the same owner."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import CallingAgent, caller
from agents.models import Agent
from agents.services.presence import AgentTouch, touch_agents
from jobs.api import reading
from jobs.api.direct import DirectBackend, HotOperation
from jobs.api.schema import (
    AgentJobSerializer,
    BeatAnswerSerializer,
    BeatSerializer,
    LineSerializer,
    ReportSerializer,
    WhoAmISerializer,
)
from jobs.gateway.agent_calls import PROTOCOL, AgentCalls, protocol_headers, read_agent_version, read_protocol
from jobs.life.log import append_log
from jobs.life.report import ReportKind
from jobs.life.submit import submit_jobs
from jobs.targets import require_target
from kernel.errors import (
    AgentNotFound,
    InvalidAgent,
    InvalidMessage,
    JobCanceled,
    JobFinished,
    JobLimit,
    JobNotFound,
    JobTaken,
    NotFound,
    TooLarge,
    UnavailableAgent,
)
from kernel.http.oneline import read_fields
from kernel.http.openapi import describe, header, query, wait_query, whole_number
from kernel.http.rest import Operation, request_address
from kernel.transactions import run_one

_PROTOCOL = header("Skadi-Protocol", "2: the agent acknowledges a job before it starts it, and beats while it runs it.")


class _SpeaksProtocol(Operation):
    """A call with an agent's token."""

    authentication_classes = (CallingAgent,)
    ignores_unknown = True

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Tell an agent that asks for it which protocol we speak."""
        for name, value in protocol_headers(read_protocol(request.headers.get("Skadi-Protocol"))).items():
            response.headers[name] = value
        return super().finalize_response(request, response, *args, **kwargs)


class AgentOperation(_SpeaksProtocol):
    """A call that Django alone answers. Each is a sign of life."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Record the agent's call, with its address and version."""
        super().initial(request, *args, **kwargs)
        ip = request_address(request)
        version = read_agent_version(request.headers.get("Skadi-Agent"))
        touch_agents([AgentTouch(agent_id=caller(request).agent_id, ip=ip, version=version)])


class HotAgentOperation(HotOperation, _SpeaksProtocol):
    """A hot call; its handler is one of `AgentCalls`."""


class NextJob(HotAgentOperation):
    """GET /agent/job."""

    @describe(
        "agent_job",
        "Take the next job",
        answers={200: AgentJobSerializer, 204: None},
        errors=[UnavailableAgent],
        parameters=[
            wait_query("Seconds to hold the call until a job comes"),
            header("Skadi-Agent", "The agent's version and platform, shown to its owner."),
            _PROTOCOL,
        ],
        gateway=True,
    )
    def get(self, request: Request) -> Response:
        """Hand the agent its oldest due job, once. 204: none. Counts as a sign of life."""
        return self.run(request, AgentCalls(DirectBackend()).next_job)


class _Report(HotAgentOperation):
    """A report on one job; the subclasses say which."""

    kind: ReportKind

    def _take(self, request: Request, job_id: str) -> Response:
        return self.run(request, AgentCalls(DirectBackend()).report, job_id=job_id, kind=self.kind)


class JobRunning(_Report):
    """PUT /agent/jobs/{id}/running."""

    kind = ReportKind.RUNNING

    @describe(
        "agent_job_running",
        "Say that a job is running",
        answers={204: None},
        errors=[JobNotFound, UnavailableAgent, NotFound, JobCanceled, JobTaken],
        request=ReportSerializer,
        parameters=[_PROTOCOL],
        gateway=True,
    )
    def put(self, request: Request, job_id: str) -> Response:
        """Start the lease again. `result` may tell how far the job is. Under protocol 2 the first one acknowledges."""
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
        parameters=[_PROTOCOL],
        gateway=True,
    )
    def put(self, request: Request, job_id: str) -> Response:
        """End the job. Later ends change nothing. One late end is taken within seven days of an expiry."""
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
        parameters=[_PROTOCOL],
        gateway=True,
    )
    def put(self, request: Request, job_id: str) -> Response:
        """End the job. Later ends change nothing. One late end is taken within seven days of an expiry."""
        return self._take(request, job_id)


class BeatCall(HotAgentOperation):
    """POST /agent/beat."""

    @describe(
        "agent_beat",
        "Keep the leases of running jobs",
        answers={200: BeatAnswerSerializer},
        errors=[UnavailableAgent],
        request=BeatSerializer,
        parameters=[wait_query("Seconds to hold the call until a job is to be ended")],
        gateway=True,
    )
    def post(self, request: Request) -> Response:
        """Renew the leases of the jobs named; tell which of them are to be ended."""
        return self.run(request, AgentCalls(DirectBackend()).beat)


class AgentLog(AgentOperation):
    """PUT /agent/jobs/{id}/log."""

    @describe(
        "agent_job_log",
        "Send a piece of what a job prints",
        answers={204: None},
        errors=[JobNotFound, UnavailableAgent, NotFound, TooLarge],
        parameters=[
            query(
                "offset",
                "Where the piece begins, in bytes of the whole log; 0 without it.",
                whole_number(0, 999_999_999),
            ),
            header("Content-Encoding", "gzip, or nothing.", {"type": "string", "enum": ["gzip"]}),
        ],
        binary=True,
    )
    def put(self, request: Request, job_id: str) -> Response:
        """Keep the piece: UTF-8, at most 64 KiB as sent. `Skadi-Log-Offset` says from which byte to go on."""
        offset = reading.read_offset(request.query_params.getlist("offset"))
        text = reading.read_log_piece(self.read_bytes(request), request.headers.get("Content-Encoding"))
        after = append_log(agent_id=caller(request).agent_id, job_id=job_id, offset=offset, text=text)
        return Response(status=204, headers={"Skadi-Log-Offset": str(after)})


class WhoAmI(AgentOperation):
    """GET /agent/whoami."""

    @describe(
        "agent_whoami",
        "Ask whose agent a token is",
        answers={200: WhoAmISerializer},
        errors=[UnavailableAgent],
    )
    def get(self, request: Request) -> Response:
        """Tell the agent its id and name, its owner, and what this server speaks."""
        mine = Agent.objects.visible_to(caller(request)).select_related("owner")
        agent = mine.get(pk=caller(request).agent_id)
        return Response(
            {
                "id": agent.pk,
                "name": agent.name,
                "owner": agent.owner.username,
                "protocol": PROTOCOL,
                "lease_s": settings.BEAT_LEASE_SECONDS,
            }
        )


class AgentAddsJob(AgentOperation):
    """POST /agent/job/add."""

    @describe(
        "agent_job_add",
        "Send a job to an agent of the same owner",
        answers={201: None},
        errors=[AgentNotFound, InvalidAgent, InvalidMessage, JobLimit, UnavailableAgent],
        request=LineSerializer,
        one_line=True,
    )
    def post(self, request: Request) -> Response:
        """Store a job whose source is `agent:<id>`. Another agent than itself needs `acts_for_owner`: else 403."""
        line = read_fields(self.read_bytes(request), request.headers.get("Content-Type"), request.query_params.getlist)[
            "message"
        ]
        submission = reading.read_job_line(line, principal=caller(request))
        require_target(caller(request), submission.order.agent)
        run_one(submit_jobs, submission)
        return Response(status=201)
