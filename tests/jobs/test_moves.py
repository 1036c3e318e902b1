"""The transition table, and the function that enforces it."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from django.db import transaction

from jobs.models import Job, JobEvent, JobOutput
from jobs.states import ACTIVE, TERMINAL, TRANSITIONS, WAITING, JobStatus, Move
from jobs.transitions import JobMove, _interests, lock_jobs, move_jobs, observe
from kernel.clock import database_now
from kernel.transactions import LostRace
from tests.factories import make_agent, make_job, make_job_in

pytestmark = pytest.mark.django_db

LEASE = dt.timedelta(seconds=60)


def _move(job: Job, move: Move, after: JobStatus) -> None:
    with transaction.atomic():
        (locked,) = lock_jobs([job.pk]).values()
        moved = JobMove(job=locked, move=move, after=after, actor="test", lease=LEASE)
        move_jobs([moved], now=database_now())


@pytest.mark.sqlite_only  # once: the table decides before any query
@pytest.mark.parametrize("before", JobStatus)
def test_every_move_obeys_the_table(before: JobStatus) -> None:
    """From one status, try all moves to all statuses: those of the table succeed, all others are refused and write
    nothing.

    A job that refused a move is unchanged, so the next move is tried on it.
    """
    tried = 0
    job = make_job_in(before)
    for move, after in itertools.product([m for m in Move if m != Move.SUBMIT], JobStatus):
        tried += 1
        events = job.events.count()
        if (before, after) in TRANSITIONS[move]:
            _move(job, move, after)
            job.refresh_from_db()
            assert job.status == after
            assert (job.events.count(), job.events_count) == (events + 1, events + 1)
            job = make_job_in(before)
        else:
            with pytest.raises(ValueError, match="does not lead"):
                _move(job, move, after)
            job.refresh_from_db()
            assert (job.status, job.events.count()) == (before, events)
    assert tried == 70


def test_every_state_is_reached_and_only_ends_are_ends() -> None:
    """The three sets partition the statuses, and only a late result leaves an end."""
    arrows = {(move, *pair) for move, pairs in TRANSITIONS.items() for pair in pairs}
    assert {after for _, _, after in arrows} == set(JobStatus)
    assert set(JobStatus) == WAITING | ACTIVE | TERMINAL
    assert len(WAITING) + len(ACTIVE) + len(TERMINAL) == len(JobStatus)
    leaving_ends = {(move, before) for move, before, _ in arrows if before in TERMINAL}
    assert leaving_ends == {(Move.FINISH_LATE, JobStatus.EXPIRED)}


def test_a_lost_race_writes_nothing() -> None:
    """A job that moved after it was read is not moved again, nor is the other job of the batch."""
    agent = make_agent()
    seen, neighbour = make_job(agent), make_job(agent)
    _move(seen, Move.CLAIM, JobStatus.SENT)
    moves = [
        JobMove(job=job, move=Move.CLAIM, after=JobStatus.SENT, actor="test", lease=LEASE) for job in (neighbour, seen)
    ]
    with pytest.raises(LostRace), transaction.atomic():
        move_jobs(moves, now=database_now())
    neighbour.refresh_from_db()
    assert neighbour.status == JobStatus.QUEUING
    assert JobEvent.objects.filter(job=neighbour).count() == 1


def test_a_set_moves_with_few_queries(django_assert_num_queries: pytest.FixtureRequest) -> None:
    """Fifty jobs with the same move need as many queries as one: two, and one for the owners' channels."""
    agent = make_agent()
    jobs = [make_job(agent) for _ in range(50)]
    now = database_now()
    with transaction.atomic():
        locked = lock_jobs([job.pk for job in jobs])
        moves = [JobMove(job=job, move=Move.WAIT_END, after=JobStatus.EXPIRED, actor="test") for job in locked.values()]
        with django_assert_num_queries(3):  # type: ignore[operator]
            move_jobs(moves, now=now)
    assert Job.objects.filter(status=JobStatus.EXPIRED).count() == 50


def test_observers_run_for_every_move_in_its_transaction() -> None:
    """An observer gets before and after; its error rolls the move back."""
    seen: list[tuple[str, str]] = []

    def listen(moved: object, now: dt.datetime) -> None:
        seen.extend((str(m.before), str(m.after)) for m in moved)  # type: ignore[attr-defined]
        if len(seen) > 1:
            raise RuntimeError("no")

    observe(listen)
    try:
        job = make_job(make_agent())
        with pytest.raises(RuntimeError):
            _move(job, Move.CLAIM, JobStatus.SENT)
    finally:
        _interests.pop()
    assert seen == [("None", "queuing"), ("queuing", "sent")]
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUING


def test_an_end_clears_lease_and_distinct_slot() -> None:
    """Lease and distinct slot are free again at every end."""
    for status in TERMINAL:
        job = make_job_in(status)
        assert (job.lease_until, job.distinct_slot) == (None, None)
    assert JobOutput.objects.count() == 2
