"""The calls of agents: poll, report, add a job for an agent of the same owner."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import CallingAgent, caller
from accounts.credentials import Principal, identify_again, require_agent
from agents.models import Agent
from agents.services.presence import AgentTouch, touch_agents
from jobs.api import reading, rendering
from jobs.api.schema import (
    AgentJobSerializer,
    BeatAnswerSerializer,
    BeatSerializer,
    LineSerializer,
    ReportSerializer,
    WhoAmISerializer,
)
from jobs.life.beat import beat_jobs, wait_for_wish
from jobs.life.claim import Claim, claim_within
from jobs.life.log import append_log
from jobs.life.report import ReportKind, report_jobs
from jobs.life.submit import submit_jobs
from kernel.errors import (
    AgentNotFound,
    InvalidAgent,
    InvalidMessage,
    JobCanceled,
    JobFinished,
    JobNotFound,
    JobTaken,
    NotFound,
    TooLarge,
    UnavailableAgent,
)
from kernel.http.openapi import describe, header, query
from kernel.http.rest import Operation, request_address
from kernel.transactions import run_one

_PROTOCOL = header("Skadi-Protocol", "2: the agent acknowledges a job before it starts it, and beats while it runs it.")


class AgentOperation(Operation):
    """A call with an agent's token. Each is a sign of life."""

    authentication_classes = (CallingAgent,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Note that the agent was heard, from where and in which version."""
        super().initial(request, *args, **kwargs)
        ip = request_address(request)
        version = reading.read_agent_version(request.headers.get("Skadi-Agent"))
        touch_agents([AgentTouch(agent_id=caller(request).agent_id, ip=ip, version=version)])

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Tell an agent that asks for it which protocol we speak."""
        for name, value in rendering.protocol_headers(_protocol(request)).items():
            response.headers[name] = value
        return super().finalize_response(request, response, *args, **kwargs)


def _protocol(request: Request) -> int:
    return reading.read_protocol(request.headers.get("Skadi-Protocol"))


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
            _PROTOCOL,
        ],
        gateway=True,
    )
    def get(self, request: Request) -> Response:
        """Hand the agent its oldest due job, once. 204: none. Counts as a sign of life."""
        principal = caller(request)
        seconds = reading.read_wait(request.query_params.getlist("wait"))
        job = claim_within(
            claim=Claim(agent_id=principal.agent_id, protocol=_protocol(request), in_queues=principal.in_queues),
            seconds=seconds,
            check_caller=lambda: _check_again(principal),
        )
        return Response(status=204) if job is None else Response(rendering.agent_job_json(job, _protocol(request)))


def _check_again(principal: Principal) -> None:
    require_agent(identify_again(principal))


class _Report(AgentOperation):
    """A report on one job; the subclasses say which."""

    body_limit = reading.REPORT_BODY_LIMIT
    kind: ReportKind

    def _take(self, request: Request, job_id: str) -> Response:
        data = self.read_body(request)
        report = reading.read_report(
            data, kind=self.kind, job_id=job_id, principal=caller(request), protocol=_protocol(request)
        )
        run_one(report_jobs, report)
        return Response(status=204)


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
        """Begin the lease anew. `result` may tell how far the job is. Under protocol 2 the first one acknowledges."""
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
        parameters=[_PROTOCOL],
        gateway=True,
    )
    def put(self, request: Request, job_id: str) -> Response:
        """End the job; the first end stands. One late end is taken within seven days of an expiry."""
        return self._take(request, job_id)


class BeatCall(AgentOperation):
    """POST /agent/beat."""

    @describe(
        "agent_beat",
        "Keep the leases of running jobs",
        answers={200: BeatAnswerSerializer},
        errors=[UnavailableAgent],
        request=BeatSerializer,
        parameters=[query("wait", "Seconds to hold the call until a job is to be ended, at most 55.", int)],
        gateway=True,
    )
    def post(self, request: Request) -> Response:
        """Renew the leases of the jobs named; tell which of them are to be ended."""
        principal = caller(request)
        seconds = reading.read_wait(request.query_params.getlist("wait"))
        beat = reading.read_beat(self.read_body(request), principal=principal)
        ids = run_one(beat_jobs, beat)
        if not ids and seconds:
            ids = wait_for_wish(beat=beat, seconds=seconds, check_caller=lambda: _check_again(principal))
        return Response(rendering.beat_json(ids))


class AgentLog(AgentOperation):
    """PUT /agent/jobs/{id}/log."""

    @describe(
        "agent_job_log",
        "Send a piece of what a job prints",
        answers={204: None},
        errors=[JobNotFound, UnavailableAgent, NotFound, TooLarge],
        parameters=[
            query("offset", "Where the piece begins, in bytes of the whole log; 0 without it.", int),
            header("Content-Encoding", "gzip, or nothing."),
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
                "protocol": reading.PROTOCOL,
                "lease_s": settings.BEAT_LEASE_SECONDS,
            }
        )


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
        run_one(submit_jobs, reading.read_job_line(line, principal=caller(request)))
        return Response(status=201)
