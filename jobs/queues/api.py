"""The calls of people and their programs about queues."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import JobsUser, allowed_body, caller
from jobs.api.direct import DirectBackend, HotOperation
from jobs.api.rendering import job_json, whole_job_json
from jobs.api.schema import JobPageSerializer, JobSerializer, WholeJobSerializer
from jobs.gateway.user_calls import UserCalls
from jobs.life.read import read_job
from jobs.life.submit import submit_jobs
from jobs.life.submit_many import submit_many
from jobs.models import Queue, QueueState
from jobs.queues import wire
from jobs.queues.dead_letters import list_dead, purge_dead, replay_dead
from jobs.queues.pull import ack_job, extend_lease, require_pulled
from jobs.queues.service import (
    count_queues,
    delete_queue,
    find_queue,
    flush_queue,
    list_queues,
    put_queue,
    set_state,
)
from kernel.errors import (
    AgentNotFound,
    IdempotencyMismatch,
    InvalidAgent,
    InvalidMessage,
    JobCanceled,
    JobFinished,
    JobLimit,
    JobTaken,
    NotFound,
    QueueBusy,
    QueueDraining,
    QueueDuplicate,
    QueueFull,
    QueueLimit,
    QueueNotFound,
    QueueNotPulled,
)
from kernel.http.openapi import PAGE_QUERY, describe, idempotency_header, query, wait_query, whole_number
from kernel.http.paging import read_cursor, read_limit, write_cursor
from kernel.http.rest import Operation, query_value
from kernel.strictjson import parse_value
from kernel.transactions import run_one


class QueueSerializer(serializers.Serializer[Any]):
    """A queue and its counters."""

    id = serializers.CharField()
    name = serializers.CharField()
    agent_id = serializers.CharField(allow_null=True)
    agent = serializers.CharField(allow_null=True)
    tag = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(choices=QueueState.choices)
    width = serializers.IntegerField()
    distinct = serializers.BooleanField()
    max_length = serializers.IntegerField(allow_null=True)
    rate = wire.RateSerializer(allow_null=True)
    retry = serializers.IntegerField()
    backoff = serializers.JSONField(help_text="null: 5, 10, 20, … seconds.")
    waiting = serializers.IntegerField(help_text="Jobs that wait.")
    active = serializers.IntegerField(help_text="Jobs that were handed out and have not ended.")
    dead = serializers.IntegerField(help_text="Dead letters.")
    oldest_at = serializers.DateTimeField(allow_null=True, help_text="Since when the oldest due job waits.")
    finished_last_minute = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class QueueListSerializer(serializers.Serializer[Any]):
    """All queues, by name; `next` is always null."""

    items = QueueSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class OutcomeSerializer(serializers.Serializer[Any]):
    """The outcome of one job of a list."""

    status = serializers.IntegerField(help_text="201: it is there. Else as the call for this one alone.")
    id = serializers.CharField(required=False)
    error = serializers.CharField(required=False)
    message = serializers.CharField(required=False)
    job_id = serializers.CharField(required=False, help_text="The job that lives already, for a duplicate.")


class OutcomesSerializer(serializers.Serializer[Any]):
    """One outcome for each job, in the order in which they were sent."""

    items = OutcomeSerializer(many=True)


class CountSerializer(serializers.Serializer[Any]):
    """How many."""

    count = serializers.IntegerField()


class ReplayedSerializer(CountSerializer):
    """The new attempts."""

    ids = serializers.ListField(child=serializers.CharField())


class PulledJobSerializer(serializers.Serializer[Any]):
    """A job for the program that pulls its queue."""

    id = serializers.CharField()
    message = serializers.CharField()
    task = serializers.CharField()
    params = serializers.DictField(child=serializers.JSONField())
    attempt = serializers.IntegerField()
    offer = serializers.IntegerField(help_text="Sent back with ack and extend.")
    lease_until = serializers.DateTimeField(help_text="Then it is offered again.")


class _OfUser(Operation):
    """A call about the caller's queues."""

    authentication_classes = (JobsUser,)

    def queue(self, request: Request, name: str) -> Queue:
        """Return the caller's queue; raise QueueNotFound."""
        return find_queue(viewer=caller(request), name=name)


def _answer(queue: Queue, status: int = 200) -> Response:
    return Response(wire.queue_json(queue, count_queues([queue])[queue.pk]), status=status)


class Queues(_OfUser):
    """/queues."""

    @describe("queues_list", "List queues", answers={200: QueueListSerializer})
    def get(self, request: Request) -> Response:
        """Return all of the caller's queues, by name."""
        queues = list_queues(viewer=caller(request))
        counts = count_queues(queues)
        return Response({"items": [wire.queue_json(queue, counts[queue.pk]) for queue in queues], "next": None})


class OneQueue(_OfUser):
    """/queues/{name}."""

    @describe("queues_read", "Read a queue", answers={200: QueueSerializer}, errors=[QueueNotFound])
    def get(self, request: Request, name: str) -> Response:
        """Return a queue and its counters."""
        return _answer(self.queue(request, name))

    @describe(
        "queues_put",
        "Make a queue, or change it",
        answers={200: QueueSerializer, 201: QueueSerializer},
        errors=[AgentNotFound, QueueLimit],
        request=wire.QueueSettingsSerializer,
    )
    def put(self, request: Request, name: str) -> Response:
        """Make the queue, or give it these settings in place of all it had; what is not sent is as of a new one."""
        settings = wire.read_queue(allowed_body(request, self.read_body(request)))
        queue, is_new = put_queue(viewer=caller(request), name=name, settings=settings)
        return _answer(queue, 201 if is_new else 200)

    @describe("queues_delete", "Delete a queue", answers={204: None}, errors=[QueueNotFound, QueueBusy])
    def delete(self, request: Request, name: str) -> Response:
        """Delete a queue in which nothing lives and to which nothing will come; jobs that ended in it stay."""
        delete_queue(queue=self.queue(request, name))
        return Response(status=204)


class QueueJobs(_OfUser):
    """/queues/{name}/jobs."""

    body_limit = wire.BATCH_BODY_LIMIT

    @describe(
        "queues_add",
        "Put one job into a queue, or up to 1,000",
        answers={201: WholeJobSerializer, 200: OutcomesSerializer},
        errors=[
            IdempotencyMismatch,
            InvalidAgent,
            InvalidMessage,
            QueueDraining,
            QueueDuplicate,
            JobLimit,
            QueueFull,
            QueueNotFound,
        ],
        request=wire.QueueJobSerializer,
        parameters=[idempotency_header("For one job; in a list each has its own `key`.")],
    )
    def post(self, request: Request, name: str) -> Response:
        """One object: 201 with the job. A list: 200 with one outcome for each, in order; each stands for itself."""
        principal, queue = caller(request), self.queue(request, name)
        value = parse_value(self.read_bytes(request) or b"{}")
        if isinstance(value, dict):
            key = request.headers.get("Idempotency-Key")
            job = run_one(submit_jobs, wire.read_queue_job(value, queue=queue, principal=principal, header=key))
            whole = read_job(owner_id=principal.owner_id, job_id=job.pk)
            return Response(whole_job_json(whole), status=201, headers={"Location": f"/jobs/{job.pk}"})
        read = wire.read_queue_jobs(wire.read_batch(value), queue=queue, principal=principal)
        return Response({"items": [wire.outcome_json(outcome) for outcome in submit_many(read)]})


class _QueueState(_OfUser):
    """A call that changes what a queue does."""

    state: QueueState

    def _set(self, request: Request, name: str) -> Response:
        return _answer(set_state(queue=self.queue(request, name), state=self.state))


class QueuePause(_QueueState):
    """/queues/{name}/pause."""

    state = QueueState.PAUSED

    @describe("queues_pause", "Pause a queue", answers={200: QueueSerializer}, errors=[QueueNotFound])
    def post(self, request: Request, name: str) -> Response:
        """Let it take jobs and start none."""
        return self._set(request, name)


class QueueResume(_QueueState):
    """/queues/{name}/resume."""

    state = QueueState.OPEN

    @describe("queues_resume", "Resume a queue", answers={200: QueueSerializer}, errors=[QueueNotFound])
    def post(self, request: Request, name: str) -> Response:
        """Let it take and start jobs."""
        return self._set(request, name)


class QueueDrain(_QueueState):
    """/queues/{name}/drain."""

    state = QueueState.DRAINING

    @describe("queues_drain", "Drain a queue", answers={200: QueueSerializer}, errors=[QueueNotFound])
    def post(self, request: Request, name: str) -> Response:
        """Let it start what waits and take nothing new."""
        return self._set(request, name)


class QueueFlush(_OfUser):
    """/queues/{name}/flush."""

    @describe("queues_flush", "Cancel what waits", answers={200: CountSerializer}, errors=[QueueNotFound])
    def post(self, request: Request, name: str) -> Response:
        """Cancel every job that waits; what is at work stays."""
        return Response({"count": flush_queue(queue=self.queue(request, name), actor=caller(request).actor)})


class QueueDead(_OfUser):
    """/queues/{name}/dead."""

    @describe(
        "queues_dead",
        "List dead letters, newest first",
        answers={200: JobPageSerializer},
        errors=[QueueNotFound],
        parameters=[
            *PAGE_QUERY,
        ],
    )
    def get(self, request: Request, name: str) -> Response:
        """Return a page of the jobs that failed for good and were neither replayed nor removed."""
        queue = self.queue(request, name)
        page = list_dead(viewer=caller(request), queue=queue, older_than=read_cursor(request), size=read_limit(request))
        items = [job_json(job, output) for job, output in page.items]
        return Response({"items": items, "next": write_cursor(page.older_than)})

    @describe(
        "queues_purge",
        "Remove dead letters",
        answers={200: CountSerializer},
        errors=[QueueNotFound, NotFound],
        parameters=[
            query("ids", "Ids with commas between them, at most 100."),
            query("all", "1: all that there are.", enum=["0", "1"]),
        ],
    )
    def delete(self, request: Request, name: str) -> Response:
        """Take these, or all, from the list. The jobs stay as they ended."""
        ids = wire.read_dead_query(query_value(request, "ids"), query_value(request, "all"))
        return Response({"count": purge_dead(queue=self.queue(request, name), ids=ids)})


class QueueReplay(_OfUser):
    """/queues/{name}/dead/replay."""

    @describe(
        "queues_replay",
        "Try dead letters again",
        answers={200: ReplayedSerializer},
        errors=[QueueNotFound, NotFound],
        request=wire.WhichSerializer,
    )
    def post(self, request: Request, name: str) -> Response:
        """Give these, or all, a new attempt: a new job, whose id is in the answer.

        A job that the queue refuses stays a dead letter.
        """
        ids = wire.read_dead(self.read_body(request))
        made = replay_dead(queue=self.queue(request, name), ids=ids, actor=caller(request).actor)
        return Response({"count": len(made), "ids": [job.pk for job in made]})


class QueueNext(HotOperation):
    """/queues/{name}/next."""

    authentication_classes = (JobsUser,)

    @describe(
        "queues_next",
        "Take the next job of a queue without agents",
        answers={200: PulledJobSerializer, 204: None},
        errors=[QueueNotFound, QueueNotPulled],
        parameters=[
            wait_query("Seconds to hold the call until a job comes"),
            query("lease", "Seconds until it is offered again, 1 to 86,400; 60 without it.", whole_number(1, 86_400)),
        ],
        gateway=True,
    )
    def get(self, request: Request, name: str) -> Response:
        """Hand out a job for the time of its lease. 204: none, or as many as its width are out."""
        return self.run(request, UserCalls(DirectBackend()).next_of_queue, name=name)


class QueueAck(_OfUser):
    """/queues/{name}/jobs/{id}/ack."""

    body_limit = wire.ACK_BODY_LIMIT

    @describe(
        "queues_ack",
        "Say how a pulled job ended",
        answers={200: JobSerializer},
        errors=[QueueNotFound, QueueNotPulled, NotFound, JobTaken, JobCanceled, JobFinished],
        request=wire.AckSerializer,
    )
    def post(self, request: Request, name: str, pulled_id: str) -> Response:
        """End the job as succeeded or failed, if this offer of it holds. The same end again is answered in the same
        way.
        """
        principal, queue = caller(request), self.queue(request, name)
        require_pulled(queue)
        ack = wire.read_ack(self.read_body(request), queue=queue, job_id=pulled_id, principal=principal)
        job = ack_job(ack)
        whole = read_job(owner_id=principal.owner_id, job_id=job.pk)
        return Response(job_json(whole.job, whole.output))


class QueueExtend(_OfUser):
    """/queues/{name}/jobs/{id}/extend."""

    @describe(
        "queues_extend",
        "Ask for more time for a pulled job",
        answers={200: PulledJobSerializer},
        errors=[QueueNotFound, QueueNotPulled, NotFound, JobTaken, JobCanceled],
        request=wire.ExtendSerializer,
    )
    def post(self, request: Request, name: str, pulled_id: str) -> Response:
        """Let the lease end after this many seconds from now, 60 without a number, if this offer holds."""
        queue = self.queue(request, name)
        require_pulled(queue)
        extension = wire.read_extension(self.read_body(request), queue=queue, job_id=pulled_id)
        return Response(wire.pulled_json(extend_lease(extension)))
