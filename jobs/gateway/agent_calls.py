"""The hot calls of agents: poll, report, beat. Each counts as a sign of life."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.credentials import Principal, bearer_token, require
from accounts.power import Power
from agents.services.presence import VERSION_LENGTH, AgentTouch
from jobs.api.fields import read_flag, read_number, read_text
from jobs.gateway.batch import BEAT, CLAIM, REPORT
from jobs.gateway.interface import Answer, Backend, Call, Disconnected
from jobs.gateway.waiters import hold, read_wait
from jobs.life.beat import Beat, ids_to_end
from jobs.life.claim import Claim, PutBack
from jobs.life.report import Report, ReportKind
from jobs.models import Job
from jobs.transitions import Output
from kernel.errors import InvalidRequest, Unavailable
from kernel.http.answers import BODY_LIMIT
from kernel.ids import is_id
from kernel.strictjson import JsonObject
from kernel.text import keep_head_and_tail

PROTOCOL = 2
"""The newest protocol of agents that we speak."""

REPORT_BODY_LIMIT = 8 * 1024 * 1024
BEAT_JOBS_LIMIT = 500
_REASON_LENGTH = 64
_TOLD_PARAMS = ("confirmed",)
"""The parameters of a job that its agent gets."""


class AgentCalls:
    """The handlers, over a backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def next_job(self, call: Call) -> Answer:
        """GET /agent/job: the agent's next job, or 204; with `?wait=` held until one comes or the time is over."""
        principal = await self._caller(call)
        wait_seconds = read_wait(call.query("wait"))
        protocol = read_protocol(call.header(b"skadi-protocol"))

        async def look(rang: bool) -> Job | None:
            if rang or await self._backend.may_have_work(principal):
                return await self._claim(call, principal, protocol)
            return None

        async def check_caller() -> None:
            nonlocal principal
            principal = await self._backend.identify_again(principal, by=call.answer_by)
            await self._hear(call, principal)

        job = await hold(
            call,
            self._backend.waiters,
            f"agent {principal.agent_id}",
            look,
            seconds=wait_seconds,
            until=lambda found: found is not None,
            check_caller=check_caller,
        )
        return Answer(status=204) if job is None else Answer(status=200, body=agent_job_json(job, protocol))

    async def report(self, call: Call, job_id: str, kind: str) -> Answer:
        """PUT /agent/jobs/{id}/{running,succeed,fail}."""
        principal = await self._caller(call)
        data = await call.json(REPORT_BODY_LIMIT)
        protocol = read_protocol(call.header(b"skadi-protocol"))
        report = read_report(data, kind=ReportKind(kind), job_id=job_id, principal=principal, protocol=protocol)
        await self._backend.write(REPORT, report, by=call.answer_by)
        return Answer(status=204)

    async def beat(self, call: Call) -> Answer:
        """POST /agent/beat: renew leases; with `?wait=` held until a job is to be ended or the time is over."""
        principal = await self._caller(call)
        wait_seconds = read_wait(call.query("wait"))
        beat = read_beat(await call.json(BODY_LIMIT), principal=principal)
        ids = await self._backend.write(BEAT, beat, by=call.answer_by)

        async def look(_rang: bool) -> list[str]:
            return await self._backend.read(lambda: ids_to_end(beat), by=call.answer_by)

        async def check_caller() -> None:
            require(await self._backend.identify_again(principal, by=call.answer_by), Power.WORK)

        if not ids and wait_seconds:
            ids = await hold(
                call,
                self._backend.waiters,
                f"beat {principal.agent_id}",
                look,
                seconds=wait_seconds,
                until=bool,
                check_caller=check_caller,
            )
        return Answer(status=200, body={"cancel": ids, "lease_s": settings.BEAT_LEASE_SECONDS})

    async def _caller(self, call: Call) -> Principal:
        token = bearer_token(call.header(b"authorization"))
        principal = await self._backend.identify(token, address=call.address, by=call.answer_by)
        await self._hear(call, principal)
        return principal

    async def _hear(self, call: Call, principal: Principal) -> None:
        """Record that an agent called. Raises Forbidden for a user, UnavailableAgent for a disabled agent."""
        require(principal, Power.WORK)
        version = read_agent_version(call.header(b"skadi-agent"))
        touch = AgentTouch(agent_id=principal.agent_id, ip=call.address, version=version)
        await self._backend.hear(touch, by=call.answer_by)

    async def _claim(self, call: Call, principal: Principal, protocol: int) -> Job | None:
        """Claim. The flag is set again where there may be more jobs, or where the database did not answer."""
        claim = Claim(agent_id=principal.agent_id, protocol=protocol, in_queues=principal.in_queues)
        try:
            with call.watch_connection():
                job = await self._backend.write(CLAIM, claim, by=call.answer_by)
        except Unavailable:
            self._backend.flag_work(principal.agent_id)
            raise
        if job is not None:
            self._backend.flag_work(principal.agent_id)
            if call.disconnected:
                self._backend.put_back(PutBack(request_id=claim.request_id))
                raise Disconnected
        return job


def read_protocol(header: str | None) -> int:
    """Read `Skadi-Protocol`: 2 for agents that acknowledge and beat, 1 for all others."""
    return PROTOCOL if header is not None and header.strip().isdecimal() and int(header) >= PROTOCOL else 1


def protocol_headers(protocol: int) -> dict[str, str]:
    """Return the headers by which an agent that speaks protocol 2 knows that we do too."""
    return {"Skadi-Protocol": str(PROTOCOL)} if protocol >= PROTOCOL else {}


def read_agent_version(header: str | None) -> str:
    """Read what an agent says of itself in `Skadi-Agent`: printable ASCII, cut to what is kept."""
    said = (header or "").strip()
    return said[:VERSION_LENGTH] if said.isascii() and said.isprintable() else ""


def read_report(data: JsonObject, *, kind: ReportKind, job_id: str, principal: Principal, protocol: int = 1) -> Report:
    """Read the body of PUT /agent/jobs/{id}/{running,succeed,fail}; every field may be missing."""
    result = data.get("result")
    if result is not None and not isinstance(result, str):
        raise InvalidRequest(_("%(field)s must be text."), params={"field": "result"})
    kept = keep_head_and_tail(result or "")
    output = Output(
        text=kept.text,
        exit_code=read_number(data, "exit_code", -(2**31), 2**31 - 1),
        signal=read_number(data, "signal", 0, 255),
        reason=read_text(data, "reason", _REASON_LENGTH),
        truncated=read_flag(data, "truncated") or kept.truncated,
        size_bytes=read_number(data, "size_bytes", 0, 2**53) or kept.size_bytes,
        log_size=read_number(data, "log_size", 0, 2**53),
    )
    return Report(
        agent_id=principal.agent_id,
        job_id=job_id,
        kind=kind,
        output=output,
        protocol=protocol,
        offer=read_number(data, "offer", 0, 2**31),
    )


def read_beat(data: JsonObject, *, principal: Principal) -> Beat:
    """Read the body of POST /agent/beat: `running` lists objects with the ids of jobs; other fields are ignored."""
    running = data.get("running") or []
    if not isinstance(running, list) or len(running) > BEAT_JOBS_LIMIT:
        raise InvalidRequest(_("running is a list of at most %(limit)s jobs."), params={"limit": BEAT_JOBS_LIMIT})
    ids: set[str] = set()
    for job in running:
        job_id = job.get("id") if isinstance(job, dict) else None
        if not isinstance(job_id, str):
            raise InvalidRequest(_("%(field)s must be text."), params={"field": "running[].id"})
        ids.add(job_id)
    return Beat(agent_id=principal.agent_id, job_ids=frozenset(job_id for job_id in ids if is_id(job_id)))


def agent_job_json(job: Job, protocol: int = 1) -> JsonObject | JsonObject:
    """Render a job for the agent that claimed it; old agents get no more than they know."""
    plain: JsonObject = {"id": job.pk, "message": job.message}
    if protocol < PROTOCOL:
        return plain
    offered: JsonObject = {
        "id": job.pk,
        "message": job.message,
        "attempt": job.attempt,
        "offer": job.offer,
        "lease_s": settings.BEAT_LEASE_SECONDS,
        "ack_s": settings.ACK_SECONDS,
        "source": job.source,
    }
    params = job.params or {}
    if argv := params.get("argv"):
        offered["argv"] = argv
    if told := {name: params[name] for name in _TOLD_PARAMS if name in params}:
        offered["params"] = told
    return offered
