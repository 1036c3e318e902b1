"""The hot calls of people and their programs: send a job, read it, wait for it, pull from a queue."""

from __future__ import annotations

from functools import partial

from accounts.credentials import Principal, bearer_token, require
from accounts.power import Power
from accounts.services.tokens import note_token_in_query
from jobs.api import reading, rendering
from jobs.gateway.batch import PULL, SUBMIT
from jobs.gateway.interface import Answer, Backend, Call, Disconnected
from jobs.gateway.waiters import hold, read_wait
from jobs.life.claim import PutBack
from jobs.life.log import LogPart, read_log
from jobs.life.read import WholeJob, read_job
from jobs.life.submit import Submission
from jobs.models import Job
from jobs.queues import wire as queues
from jobs.queues.pull import Pull, require_pulled
from jobs.queues.service import find_queue
from kernel.http.answers import BODY_LIMIT
from kernel.http.idempotency import read_idempotency_key
from kernel.http.oneline import read_fields


class UserCalls:
    """The handlers, over a backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def add_line(self, call: Call) -> Answer:
        """POST /job/add, the call of the original service."""
        principal = await self._caller(call, tokens=call.query("token"))
        fields = read_fields(await call.body(BODY_LIMIT), call.header(b"content-type"), call.query)
        key = read_idempotency_key(call.header(b"idempotency-key"))
        job = await self._submit(
            call, reading.read_job_line(fields.get("message"), principal=principal, idempotency_key=key)
        )
        return Answer(status=201, headers={"Location": f"/jobs/{job.pk}"})

    async def add_job(self, call: Call) -> Answer:
        """POST /jobs; with `?wait=` answered when the job has ended or the time is over."""
        principal = await self._caller(call)
        call.check_parameters("wait")
        wait_seconds = read_wait(call.query("wait"))
        data = await call.json(BODY_LIMIT)
        key = read_idempotency_key(call.header(b"idempotency-key"))
        job = await self._submit(call, reading.read_submission(data, principal=principal, idempotency_key=key))
        whole = await self._read_at_end(call, principal, job.pk, wait_seconds)
        return Answer(status=201, body=rendering.whole_job_json(whole), headers={"Location": f"/jobs/{job.pk}"})

    async def read_job(self, call: Call, job_id: str) -> Answer:
        """GET /jobs/{id}; with `?wait=` answered when the job has ended or the time is over."""
        principal = await self._caller(call)
        call.check_parameters("wait")
        whole = await self._read_at_end(call, principal, job_id, read_wait(call.query("wait")))
        return Answer(status=200, body=rendering.whole_job_json(whole))

    async def read_log(self, call: Call, job_id: str) -> Answer:
        """GET /jobs/{id}/log; with `?wait=` answered when there is something new or the time is over."""
        principal = await self._caller(call)
        call.check_parameters("wait", "offset")
        wait_seconds = read_wait(call.query("wait"))
        offset = reading.read_offset(call.query("offset"))
        question = partial(read_log, owner_id=principal.owner_id, job_id=job_id, offset=offset)

        async def look(_rang: bool) -> LogPart:
            return await self._backend.read(question, by=call.answer_by)

        part = await hold(
            call,
            self._backend.waiters,
            f"job {job_id}",
            look,
            seconds=wait_seconds,
            until=lambda found: bool(found.text or found.complete),
            check_caller=partial(self._check_again, call, principal),
        )
        return Answer(status=200, body=rendering.log_part_json(part))

    async def next_of_queue(self, call: Call, name: str) -> Answer:
        """GET /queues/{name}/next: its next job, or 204; with `?wait=` held until one comes or the time is over."""
        principal = await self._caller(call)
        call.check_parameters("wait", "lease")
        wait_seconds = read_wait(call.query("wait"))
        lease = queues.read_lease(call.query("lease"))
        queue = await self._backend.read(lambda: find_queue(viewer=principal, name=name), by=call.answer_by)
        require_pulled(queue)

        async def look(_rang: bool) -> Job | None:
            pull = Pull(queue_id=queue.pk, actor=principal.actor, lease=lease)
            with call.watch_connection():
                job = await self._backend.write(PULL, pull, by=call.answer_by)
            if job is not None and call.disconnected:
                self._backend.put_back(PutBack(request_id=pull.request_id))
                raise Disconnected
            return job

        job = await hold(
            call,
            self._backend.waiters,
            f"queue {queue.pk}",
            look,
            seconds=wait_seconds,
            until=lambda found: found is not None,
            check_caller=partial(self._check_again, call, principal),
        )
        return Answer(status=204) if job is None else Answer(status=200, body=queues.pulled_json(job))

    async def _caller(self, call: Call, *, tokens: list[str] | None = None) -> Principal:
        """Return who calls. `tokens`: the values of `?token=`, on a path where they count."""
        token = bearer_token(call.header(b"authorization"), tokens or ())
        principal = await self._backend.identify(token, address=call.address, by=call.answer_by)
        require(principal, Power.USE_JOBS)
        if tokens:
            owner_id, scope, actor = principal.owner_id, principal.scope, principal.actor
            note = partial(note_token_in_query, owner_id=owner_id, scope=scope, actor=actor)
            await self._backend.read(note, by=call.answer_by)
        return principal

    async def _check_again(self, call: Call, principal: Principal) -> None:
        require(await self._backend.identify_again(principal, by=call.answer_by), Power.USE_JOBS)

    async def _submit(self, call: Call, submission: Submission) -> Job:
        """Store a job, and flag its agent before the answer leaves, so that a poll that follows the 201 finds it."""
        job = await self._backend.write(SUBMIT, submission, by=call.answer_by)
        if job.agent_id:
            self._backend.flag_work(job.agent_id)
        return job

    async def _read_at_end(self, call: Call, principal: Principal, job_id: str, wait_seconds: int) -> WholeJob:
        """Return the job at its end, or as it is when the time is over."""

        async def look(_rang: bool) -> WholeJob:
            return await self._backend.read(
                lambda: read_job(owner_id=principal.owner_id, job_id=job_id), by=call.answer_by
            )

        return await hold(
            call,
            self._backend.waiters,
            f"job {job_id}",
            look,
            seconds=wait_seconds,
            until=lambda found: found.job.is_terminal,
            check_caller=partial(self._check_again, call, principal),
        )
