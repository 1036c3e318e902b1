"""The calls of the upstream program about jobs: /sys, behind its own token."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import UpstreamSystem
from accounts.services.users import read_active_user
from jobs.api import reading
from jobs.api.schema import SystemJobSerializer
from jobs.life.expire import expire_job
from jobs.life.submit import submit_jobs
from kernel.errors import (
    AgentNotFound,
    IdempotencyMismatch,
    InvalidAgent,
    InvalidMessage,
    JobFinished,
    JobLimit,
    NotFound,
)
from kernel.http.idempotency import read_idempotency_key
from kernel.http.openapi import describe, idempotency_header
from kernel.http.rest import Operation
from kernel.transactions import run_one


class SystemJobs(Operation):
    """/sys/jobs."""

    authentication_classes = (UpstreamSystem,)
    ignores_unknown = True

    @describe(
        "sys_jobs_create",
        "Send a job for a user",
        answers={204: None},
        errors=[AgentNotFound, IdempotencyMismatch, InvalidAgent, InvalidMessage, JobLimit, NotFound],
        request=SystemJobSerializer,
        parameters=[idempotency_header("1 to 255 characters: the same request again makes no second job.")],
    )
    def post(self, request: Request) -> Response:
        """Store a job for an agent of this user that is online. `Location` names the job."""
        key = read_idempotency_key(request.headers.get("Idempotency-Key"))
        wish = reading.read_system_submission(self.read_body(request), idempotency_key=key)
        read_active_user(user_id=wish.owner_id)
        job = run_one(submit_jobs, wish)
        return Response(status=204, headers={"Location": f"/jobs/{job.pk}"})


class SystemJobExpiry(Operation):
    """/sys/jobs/{id}/expire."""

    authentication_classes = (UpstreamSystem,)
    ignores_unknown = True

    @describe("sys_jobs_expire", "Let a job expire", answers={204: None}, errors=[JobFinished, NotFound])
    def put(self, request: Request, job_id: str) -> Response:
        """End a job as `expired`, whatever its status. A job that has expired already stays unchanged."""
        expire_job(job_id)
        return Response(status=204)
