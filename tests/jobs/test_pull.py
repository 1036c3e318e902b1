"""Queues without agents: a program claims, extends and ends jobs by the number of its offer."""

from __future__ import annotations

import datetime as dt

import pytest

from jobs.life.cancel import cancel_job
from jobs.life.claim import PutBack, put_back_jobs
from jobs.life.overdue import OFFERS_LIMIT, expire_overdue_jobs
from jobs.models import Job, Queue
from jobs.queues.pull import Ack, Extension, Pull, ack_job, extend_lease, pull_jobs, require_pulled
from jobs.states import JobStatus
from jobs.transitions import Output
from kernel.clock import database_now
from kernel.errors import AppError, JobCanceled, JobFinished, JobTaken, NotFound, QueueNotPulled
from tests.factories import gateway_alive, make_agent
from tests.jobs.test_queues import add, make_queue

pytestmark = pytest.mark.django_db

_MINUTE = dt.timedelta(seconds=60)


@pytest.fixture
def queue() -> Queue:
    """A queue with neither agent nor tag."""
    return make_queue(make_agent(), pulled=True)


def _pull(queue: Queue, *, now: dt.datetime | None = None) -> Job | None:
    (job,) = pull_jobs([Pull(queue_id=queue.pk, actor="user:x", lease=_MINUTE)], now=now)
    return job


def _ack(queue: Queue, job: Job, offer: int, *, ok: bool = True, now: dt.datetime | None = None) -> Job | AppError:
    ack = Ack(
        owner_id=queue.owner_id, queue_id=queue.pk, job_id=job.pk, offer=offer, ok=ok,
        output=Output(text="said"), actor="user:x",
    )  # fmt: skip
    try:
        return ack_job(ack, now=now)
    except AppError as error:
        return error


def test_a_program_takes_ends_and_gets_the_next(queue: Queue) -> None:
    first, second = add(queue, "a"), add(queue, "b")
    job = _pull(queue)
    assert job == first
    assert (job.status, job.offer, job.agent_id) == (JobStatus.SENT, 1, None)
    assert _pull(queue) is None
    assert _ack(queue, job, 1) == first
    first.refresh_from_db()
    assert (first.status, first.output.result) == (JobStatus.SUCCEEDED, "said")
    assert [event.actor for event in first.events.order_by("number")] == ["test", "user:x", "user:x"]
    assert _ack(queue, job, 1) == first
    assert isinstance(_ack(queue, job, 1, ok=False), JobFinished)
    assert _pull(queue) == second


def test_a_lease_that_ends_offers_again_and_the_old_offer_does_not_hold(queue: Queue) -> None:
    job = add(queue)
    now = database_now()
    assert _pull(queue, now=now) == job
    extension = Extension(queue_id=queue.pk, job_id=job.pk, offer=1, lease=2 * _MINUTE)
    assert extend_lease(extension, now=now) == job
    later = now + dt.timedelta(seconds=100)
    gateway_alive(now=later)
    assert expire_overdue_jobs(now=later) == 0
    later = now + dt.timedelta(seconds=130)
    gateway_alive(now=later)
    assert expire_overdue_jobs(now=later) == 1
    assert isinstance(_ack(queue, job, 1, now=later), JobTaken)
    again = _pull(queue, now=later)
    assert again is not None
    assert (again.pk, again.offer) == (job.pk, 2)
    assert isinstance(_ack(queue, job, 1, now=later), JobTaken)
    with pytest.raises(JobTaken):
        extend_lease(extension, now=later)
    assert isinstance(_ack(queue, job, 2, now=later), Job)


def test_after_twenty_offers_it_expires_and_is_a_dead_letter(queue: Queue) -> None:
    job = add(queue)
    now = database_now()
    for offer in range(1, OFFERS_LIMIT + 1):
        taken = _pull(queue, now=now)
        assert taken is not None
        assert taken.offer == offer
        now += 2 * _MINUTE
        gateway_alive(now=now)
        assert expire_overdue_jobs(now=now) == 1
    job.refresh_from_db()
    assert (job.status, job.parked_at) == (JobStatus.EXPIRED, now)
    assert _pull(queue, now=now) is None


def test_a_pull_whose_answer_was_not_sent_is_put_back_and_a_repeated_one_gets_the_same_job(queue: Queue) -> None:
    job = add(queue)
    pull = Pull(queue_id=queue.pk, actor="user:x", lease=_MINUTE)
    assert pull_jobs([pull]) == [job]
    assert pull_jobs([pull]) == [job]
    put_back_jobs([PutBack(request_id=pull.request_id)])
    again = _pull(queue)
    assert again is not None
    assert (again.pk, again.offer) == (job.pk, 2)


def test_cancel_takes_it_from_the_program_and_failures_are_tried_again(queue: Queue) -> None:
    job = add(queue, retries=1)
    assert _pull(queue) == job
    cancel_job(owner_id=queue.owner_id, job_id=job.pk, actor="test")
    assert isinstance(_ack(queue, job, 1), JobCanceled)
    with pytest.raises(JobCanceled):
        extend_lease(Extension(queue_id=queue.pk, job_id=job.pk, offer=1, lease=_MINUTE))
    other = add(queue, retries=1, backoff=[30])
    assert _pull(queue) == other
    assert isinstance(_ack(queue, other, 1, ok=False), Job)
    again = Job.objects.get(root_id=other.pk, attempt=2)
    assert _pull(queue) is None
    assert _pull(queue, now=again.active_at) == again


def test_only_jobs_of_the_queue_can_be_ended_and_agents_queues_cannot_be_pulled(queue: Queue) -> None:
    other = make_queue(make_agent(owner=queue.owner), "other", pulled=True)
    job = add(queue)
    assert _pull(queue) == job
    assert isinstance(_ack(other, job, 1), NotFound)
    assert isinstance(_ack(queue, Job(id="x"), 1), NotFound)
    for settings in ({}, {"tag": "t"}):
        with pytest.raises(QueueNotPulled):
            require_pulled(make_queue(make_agent(), **settings))
    require_pulled(queue)
