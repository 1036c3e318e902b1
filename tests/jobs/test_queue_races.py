"""Races of several processes on queues: width, order and slots are exact, and there is no deadlock."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from agents.services.manage import AgentChange, update_agent
from jobs.life.claim import Claim, claim_jobs
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.life.submit import submit_jobs
from jobs.models import Job, JobEvent, Queue
from jobs.states import JobStatus
from jobs.transitions import Output
from kernel.errors import AppError, QueueDuplicate
from kernel.transactions import run_one
from tests.factories import make_agent, order_job
from tests.jobs.test_queues import add, make_queue

pytestmark = pytest.mark.django_db(transaction=True)


def _together(works: list[Callable[[], object]]) -> list[object]:
    """Run in parallel, each on its own connection; return the results."""
    gate = Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        try:
            gate.wait(20)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as threads:
        return [done.result(60) for done in [threads.submit(run, work) for work in works]]


def _submit(queue: Queue, message: str) -> Job | AppError:
    submission = order_job(queue.owner_id, message, queue=queue.name)
    try:
        job: Job = run_one(submit_jobs, submission)
    except AppError as error:
        return error
    return job


def test_one_of_sixteen_racers_with_a_distinct_key_wins_and_the_others_get_its_id() -> None:
    queue = make_queue(make_agent(), distinct=True)
    outcomes = _together([lambda: _submit(queue, "same")] * 16)
    (job,) = (outcome for outcome in outcomes if isinstance(outcome, Job))
    refused = [outcome for outcome in outcomes if isinstance(outcome, QueueDuplicate)]
    assert (len(refused), {outcome.job_id for outcome in refused}) == (15, {job.pk})


@pytest.mark.parametrize("width", [1, 3])
def test_racing_claims_never_pass_the_width_and_start_in_order(width: int) -> None:
    agent = make_agent()
    queue = make_queue(agent, width=width)
    count = 12
    for number in range(count):
        add(queue, str(number))

    def work() -> int:
        ended = 0
        while Job.objects.filter(queue=queue, status=JobStatus.QUEUING).exists():
            job = run_one(claim_jobs, Claim(agent_id=agent.pk))
            if job is None:
                continue
            assert Job.objects.active().filter(queue=queue).count() <= width
            done = Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.SUCCEED, output=Output())
            run_one(report_jobs, done)
            ended += 1
        return ended

    assert sum(_together([work] * 4)) == count  # type: ignore[arg-type]
    assert _most_at_once(queue) <= width
    if width == 1:
        started = JobEvent.objects.filter(move="claim", job__queue=queue).order_by("id")
        assert [event.job.message for event in started.select_related("job")] == [str(at) for at in range(count)]


def _most_at_once(queue: Queue) -> int:
    """Return how many jobs of the queue were active at a time.

    It sorts by the ids of events, which one process creates in order within the transactions. Their times are the
    starts of transactions, and a claim may have started before an end that it then saw.
    """
    moves = JobEvent.objects.filter(job__queue=queue, move__in=["claim", "finish"]).order_by("id")
    steps = (1 if move == "claim" else -1 for move in moves.values_list("move", flat=True))
    return max(itertools.accumulate(steps))


def test_members_of_a_group_race_for_its_jobs_and_each_goes_to_one() -> None:
    agents = [make_agent()]
    owner = agents[0].owner
    agents += [make_agent(owner=owner) for _ in range(3)]
    for agent in agents:
        update_agent(agent=agent, change=AgentChange(tags=["g"]), actor="test")
    queue = make_queue(agents[0], tag="g", width=10)
    for number in range(8):
        add(queue, str(number))

    def work(agent_id: str) -> list[str]:
        taken = []
        while Job.objects.filter(queue=queue, status=JobStatus.QUEUING).exists():
            job = run_one(claim_jobs, Claim(agent_id=agent_id))
            if job is not None:
                taken.append(job.pk)
        return taken

    taken = _together([lambda pk=agent.pk: work(pk) for agent in agents])  # type: ignore[misc]
    counted = Counter(job_id for ids in taken for job_id in ids)  # type: ignore[attr-defined]
    assert set(counted.values()) == {1}
    assert len(counted) == 8
    for agent, ids in zip(agents, taken, strict=True):
        assert set(Job.objects.filter(agent=agent).values_list("pk", flat=True)) == set(ids)  # type: ignore[call-overload]
