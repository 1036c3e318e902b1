"""The hot calls: each parses, asks who calls, calls one service through the writer, renders."""

from __future__ import annotations

import time
from functools import partial
from random import uniform

from accounts.credentials import JOB_SCOPES, Principal, bearer_token, require_agent, require_user
from accounts.services.tokens import note_token_in_query
from agents.services.presence import AgentTouch
from jobs.api import reading, rendering
from jobs.gateway.http import Answer, Call, Gone
from jobs.gateway.parts import Parts
from jobs.gateway.redislink import NoRedis
from jobs.life.beat import ids_to_end
from jobs.life.claim import Claim, PutBack
from jobs.life.log import read_log
from jobs.life.read import WholeJob, read_job
from jobs.life.report import ReportKind
from jobs.life.submit import Submission
from jobs.models import Job
from jobs.queues import wire as queues
from jobs.queues.pull import Pull, require_pulled
from jobs.queues.service import find_queue
from kernel.errors import Unavailable
from kernel.http.answers import BODY_LIMIT
from kernel.idempotency import read_idempotency_key
from kernel.rediskeys import READY_SECONDS, ready_key

# A bell can be lost on the way, so a parked call looks for itself now and then; without Redis, where no other process
# can wake it, more often.
_LOOK_SECONDS = (8.0, 12.0)
_LOOK_ALONE_SECONDS = (1.0, 2.0)


class Calls:
    """The handlers, over the parts of this process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def agent_job(self, call: Call) -> Answer:
        """GET /agent/job: the next job, or 204; with `?wait=` held until one comes or the time is over."""
        principal = await self._agent(call)
        deadline = time.monotonic() + reading.read_wait(call.query("wait"))
        key = ready_key(principal.agent_id)
        look_at_once = False
        while True:
            with self._parts.waiters.waiting_for(f"agent {principal.agent_id}") as bell:
                if look_at_once or await self._may_have_work(key):
                    job = await self._claim(principal, key, call)
                    if job is not None:
                        return Answer(status=200, body=rendering.agent_job_json(job, call.protocol))
                left = deadline - time.monotonic()
                if left <= 0 or self._parts.waiters.released:
                    return Answer(status=204)
                await call.wait(bell, min(left, self._look_again_after()))
                look_at_once = bell.done()
            principal = await self._parts.principals.identify_again(principal, by=call.answer_by)
            await self._hear(call, principal)

    async def report(self, call: Call, job_id: str, kind: str) -> Answer:
        """PUT /agent/jobs/{id}/{running,succeed,fail}."""
        principal = await self._agent(call)
        data = await call.json(reading.REPORT_BODY_LIMIT)
        report = reading.read_report(
            data, kind=ReportKind(kind), job_id=job_id, principal=principal, protocol=call.protocol
        )
        await self._parts.writer.report(report, by=call.answer_by)
        return Answer(status=204)

    async def beat(self, call: Call) -> Answer:
        """POST /agent/beat: renews leases; with `?wait=` held until a job is to be ended or the time is over."""
        principal = await self._agent(call)
        deadline = time.monotonic() + reading.read_wait(call.query("wait"))
        beat = reading.read_beat(await call.json(BODY_LIMIT), principal=principal)
        ids = await self._parts.writer.beat(beat, by=call.answer_by)
        while True:
            with self._parts.waiters.waiting_for(f"beat {principal.agent_id}") as bell:
                ids = ids or await self._parts.reader.ask(lambda: ids_to_end(beat), by=call.answer_by)
                left = deadline - time.monotonic()
                if ids or left <= 0 or self._parts.waiters.released:
                    return Answer(status=200, body=rendering.beat_json(ids))
                await call.wait(bell, min(left, self._look_again_after()))
            require_agent(await self._parts.principals.identify_again(principal, by=call.answer_by))

    async def add_line(self, call: Call) -> Answer:
        """POST /job/add."""
        principal = await self._user(call, by_query=True)
        data = await call.json(BODY_LIMIT)
        key = read_idempotency_key(call.header(b"idempotency-key"))
        job = await self._submit(
            call, reading.read_job_line(data.get("message"), principal=principal, idempotency_key=key)
        )
        return Answer(status=201, headers={"Location": f"/jobs/{job.pk}"})

    async def add_job(self, call: Call) -> Answer:
        """POST /jobs; with `?wait=` answered when the job has ended or the time is over."""
        principal = await self._user(call)
        wait = reading.read_wait(call.query("wait"))
        data = await call.json(BODY_LIMIT)
        key = read_idempotency_key(call.header(b"idempotency-key"))
        job = await self._submit(call, reading.read_submission(data, principal=principal, idempotency_key=key))
        whole = await self._end_of(call, principal, job.pk, wait)
        return Answer(status=201, body=rendering.whole_job_json(whole), headers={"Location": f"/jobs/{job.pk}"})

    async def read_job(self, call: Call, job_id: str) -> Answer:
        """GET /jobs/{id}; with `?wait=` answered when the job has ended or the time is over."""
        principal = await self._user(call)
        whole = await self._end_of(call, principal, job_id, reading.read_wait(call.query("wait")))
        return Answer(status=200, body=rendering.whole_job_json(whole))

    async def read_log(self, call: Call, job_id: str) -> Answer:
        """GET /jobs/{id}/log; with `?wait=` answered when there is something new or the time is over."""
        principal = await self._user(call)
        deadline = time.monotonic() + reading.read_wait(call.query("wait"))
        offset = reading.read_offset(call.query("offset"))
        question = partial(read_log, owner_id=principal.owner_id, job_id=job_id, offset=offset)
        while True:
            with self._parts.waiters.waiting_for(f"job {job_id}") as bell:
                part = await self._parts.reader.ask(question, by=call.answer_by)
                left = deadline - time.monotonic()
                if part.text or part.complete or left <= 0 or self._parts.waiters.released:
                    return Answer(status=200, body=rendering.log_part_json(part))
                await call.wait(bell, min(left, self._look_again_after()))
            require_user(await self._parts.principals.identify_again(principal, by=call.answer_by), JOB_SCOPES)

    async def queue_job(self, call: Call, name: str) -> Answer:
        """GET /queues/{name}/next: its next job, or 204; with `?wait=` held until one comes or the time is over."""
        principal = await self._user(call)
        deadline = time.monotonic() + reading.read_wait(call.query("wait"))
        lease = queues.read_lease(call.query("lease"))
        queue = await self._parts.reader.ask(lambda: find_queue(viewer=principal, name=name), by=call.answer_by)
        require_pulled(queue)
        while True:
            with self._parts.waiters.waiting_for(f"queue {queue.pk}") as bell:
                pull = Pull(queue_id=queue.pk, actor=principal.actor, lease=lease)
                with call.listening():
                    job = await self._parts.writer.pull(pull, by=call.answer_by)
                if job is not None:
                    self._refuse_the_gone(call, pull.request_id)
                    return Answer(status=200, body=queues.pulled_json(job))
                left = deadline - time.monotonic()
                if left <= 0 or self._parts.waiters.released:
                    return Answer(status=204)
                await call.wait(bell, min(left, self._look_again_after()))
            require_user(await self._parts.principals.identify_again(principal, by=call.answer_by), JOB_SCOPES)

    def _refuse_the_gone(self, call: Call, request_id: str) -> None:
        """Put back what a caller who hung up was to get."""
        if call.gone:
            self._parts.writer.put_back(PutBack(request_id=request_id))
            raise Gone

    async def _agent(self, call: Call) -> Principal:
        token = bearer_token(call.header(b"authorization"))
        principal = await self._parts.limits.identify(token, address=call.address, by=call.answer_by)
        await self._hear(call, principal)
        return principal

    async def _hear(self, call: Call, principal: Principal) -> None:
        """Refuse whoever is no agent, and note that this one was heard."""
        require_agent(principal)
        version = reading.read_agent_version(call.header(b"skadi-agent"))
        touch = AgentTouch(agent_id=principal.agent_id, ip=call.address, version=version)
        await self._parts.presence.heard(touch, by=call.answer_by)

    async def _user(self, call: Call, *, by_query: bool = False) -> Principal:
        tokens = call.query("token") if by_query else []
        token = bearer_token(call.header(b"authorization"), tokens)
        principal = await self._parts.limits.identify(token, address=call.address, by=call.answer_by)
        require_user(principal, JOB_SCOPES)
        if tokens:
            owner_id, scope, actor = principal.owner_id, principal.scope, principal.actor
            note = partial(note_token_in_query, owner_id=owner_id, scope=scope, actor=actor)
            await self._parts.reader.ask(note, by=call.answer_by)
        return principal

    async def _may_have_work(self, key: str) -> bool:
        """Ask Redis; without Redis only the database knows."""
        try:
            return await self._parts.redis.take(key)
        except NoRedis:
            return True

    async def _submit(self, call: Call, submission: Submission) -> Job:
        """Store a job. Its flag leaves before the answer does, so a poll that follows the 201 finds it."""
        job = await self._parts.writer.submit(submission, by=call.answer_by)
        if job.agent_id:
            self._parts.redis.put(ready_key(job.agent_id), READY_SECONDS)
        return job

    async def _claim(self, principal: Principal, key: str, call: Call) -> Job | None:
        """Claim; the flag stands again where there may be more, or where we could not look."""
        claim = Claim(agent_id=principal.agent_id, protocol=call.protocol, in_queues=principal.in_queues)
        try:
            with call.listening():
                job = await self._parts.writer.claim(claim, by=call.answer_by)
        except Unavailable:
            self._parts.redis.put(key, READY_SECONDS)
            raise
        if job is not None:
            self._parts.redis.put(key, READY_SECONDS)
            self._refuse_the_gone(call, claim.request_id)
        return job

    async def _end_of(self, call: Call, principal: Principal, job_id: str, wait_seconds: int) -> WholeJob:
        """Return the job at its end, or as it is when the time is over."""
        deadline = time.monotonic() + wait_seconds
        while True:
            with self._parts.waiters.waiting_for(f"job {job_id}") as bell:
                whole = await self._parts.reader.ask(
                    lambda: read_job(owner_id=principal.owner_id, job_id=job_id), by=call.answer_by
                )
                left = deadline - time.monotonic()
                if whole.job.is_terminal or left <= 0 or self._parts.waiters.released:
                    return whole
                await call.wait(bell, min(left, self._look_again_after()))
            require_user(await self._parts.principals.identify_again(principal, by=call.answer_by), JOB_SCOPES)

    def _look_again_after(self) -> float:
        """Return after how many seconds a parked call looks for itself: not all of them in one moment."""
        return uniform(*(_LOOK_SECONDS if self._parts.redis.connected else _LOOK_ALONE_SECONDS))  # noqa: S311
