"""Any order of calls keeps the guarantees: hypothesis calls the services, and the checker runs after every step.

Every transition of the table is reached, except retries (T8). Derandomized, so that every run is the same.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agents.models import Agent
from agents.services.presence import AgentTouch, touch_agents
from jobs.life.beat import Beat, beat_jobs
from jobs.life.cancel import cancel_job, cancel_jobs_of_agent
from jobs.life.claim import Claim, PutBack, claim_jobs, put_back_jobs
from jobs.life.offline import expire_jobs_of_absent_agents, mark_silent_agents
from jobs.life.overdue import OFFERS_LIMIT, expire_overdue_jobs
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.life.submit import submit_jobs
from jobs.models import Job, JobEvent
from jobs.states import ACTIVE, TERMINAL, TRANSITIONS, JobStatus
from jobs.transitions import Output
from kernel.clock import database_now
from kernel.errors import AppError
from tests.factories import gateway_alive, make_agent, make_user, submission
from tests.faults.invariants import Limits, check

_LIMITS = Limits(overlap=0, sweep=10_000_000, at_rest=False)
_NUMBERS = st.integers(0, 7)
_reached: Counter[tuple[str, str, str]] = Counter()


class Life(RuleBasedStateMachine):
    """Two agents of one owner, up to eight jobs, one clock. The model has each job's end and constant fields."""

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        owner = make_user()
        self.agents = [make_agent(owner=owner), make_agent(owner=owner)]
        self.now = database_now()
        self.jobs: list[str] = []
        self.ends: dict[str, str] = {}
        self.claims: list[Claim] = []
        self.offers: dict[str, int] = {}
        self._advance(1)

    def teardown(self) -> None:
        events = JobEvent.objects.filter(job_id__in=self.jobs)
        _reached.update(tuple(row) for row in events.values_list("move", "before", "after"))  # type: ignore[arg-type]
        # Roll back, so that the next run starts with an empty database.
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    def _advance(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)
        gateway_alive(now=self.now)

    def _job(self, number: int) -> Job:
        """Prefer a job that has not ended (six times in eight), because little can happen to an ended one."""
        alive = [job_id for job_id in self.jobs if job_id not in self.ends] if number < 6 else []
        among = alive or self.jobs
        return Job.objects.get(pk=among[number % len(among)])

    @initialize(protocol=st.sampled_from([1, 2]), is_started=st.booleans())
    def begin(self, protocol: int, is_started: bool) -> None:
        self.work(0, protocol, is_started)

    @precondition(lambda self: len(self.jobs) < 8)
    @rule(number=_NUMBERS, protocol=st.sampled_from([1, 2]), is_started=st.booleans())
    def work(self, number: int, protocol: int, is_started: bool) -> None:
        """The common case: an online agent gets a job and starts it."""
        agent = self.agents[number % 2]
        touch_agents([AgentTouch(agent_id=agent.pk, ip=None, version="")], now=self.now)
        self.submit(number, False)
        self.claim(number, protocol)
        if is_started:
            for job_id in Job.objects.filter(agent=agent, status=JobStatus.SENT).values_list("pk", flat=True):
                one = Report(
                    agent_id=agent.pk,
                    job_id=job_id,
                    kind=ReportKind.RUNNING,
                    output=Output(),
                    protocol=protocol,
                )
                report_jobs([one], now=self.now)

    @precondition(lambda self: len(self.jobs) < 8)
    @rule(number=_NUMBERS, may_wait=st.booleans())
    def submit(self, number: int, may_wait: bool) -> None:
        more = {"ttl_seconds": 900} if may_wait else {}
        (job,) = submit_jobs([submission(self.agents[number % 2], **more)], now=self.now)
        if isinstance(job, Job):
            self.jobs.append(job.pk)

    @rule(number=_NUMBERS, protocol=st.sampled_from([1, 2]))
    def claim(self, number: int, protocol: int) -> None:
        agent = self.agents[number % 2]
        claim = Claim(agent_id=agent.pk, protocol=protocol)
        waiting = Job.objects.filter(agent=agent, status=JobStatus.QUEUING, active_at__lte=self.now)
        oldest = waiting.order_by("active_at", "id").first()
        (job,) = claim_jobs([claim], now=self.now)
        assert job == oldest
        assert claim_jobs([claim], now=self.now) == [job]
        if job is not None:
            self.claims.append(claim)
            assert job.offer == self.offers.get(job.pk, 0) + 1
            self.offers[job.pk] = job.offer

    @precondition(lambda self: self.claims)
    @rule(number=_NUMBERS)
    def put_back(self, number: int) -> None:
        put_back_jobs([PutBack(request_id=self.claims[-1 - number % len(self.claims)].request_id)], now=self.now)

    @precondition(lambda self: self.jobs)
    @rule(number=_NUMBERS, kind=st.sampled_from(ReportKind), protocol=st.sampled_from([1, 2]), old=st.booleans())
    def report(self, number: int, kind: ReportKind, protocol: int, old: bool) -> None:
        job = self._job(number)
        offer = None if protocol == 1 else job.offer - old
        one = Report(
            agent_id=job.agent_id or "",
            job_id=job.pk,
            kind=kind,
            output=Output(text=str(kind)),
            protocol=protocol,
            offer=offer,
        )
        (outcome,) = report_jobs([one], now=self.now)
        assert report_jobs([one], now=self.now) == [outcome] or isinstance(outcome, AppError) or kind != "running"
        after = self._job(number)
        if kind == ReportKind.RUNNING:
            holds = job.status in ACTIVE and job.lease_until is not None and job.lease_until > self.now
            taken_back = protocol == 2 and (job.cancel_requested_at is not None or old)
            assert (outcome is None) == (holds and not taken_back)
        elif outcome is None:
            assert after.status == {"succeed": JobStatus.SUCCEEDED, "fail": JobStatus.FAILED}[kind]
            assert after.late == (job.status == JobStatus.EXPIRED or job.late)
        else:
            assert after.status == job.status
            assert job.status not in ACTIVE

    @precondition(lambda self: self.jobs)
    @rule(number=_NUMBERS, kind=st.sampled_from(ReportKind))
    def report_of_another_agent(self, number: int, kind: ReportKind) -> None:
        job = self._job(number)
        (other,) = [agent.pk for agent in self.agents if agent.pk != job.agent_id]
        (outcome,) = report_jobs([Report(agent_id=other, job_id=job.pk, kind=kind, output=Output())], now=self.now)
        assert outcome is not None
        assert self._job(number).events_count == job.events_count

    @precondition(lambda self: self.jobs)
    @rule(number=_NUMBERS)
    def cancel(self, number: int) -> None:
        job = self._job(number)
        outcome: Job | AppError
        try:
            outcome = cancel_job(owner_id=job.owner_id, job_id=job.pk, actor="test", now=self.now)
        except AppError as error:
            outcome = error
        after = self._job(number)
        if job.is_terminal:
            assert isinstance(outcome, AppError) == (job.status != JobStatus.CANCELED)
            assert after.status == job.status
        elif job.status == JobStatus.QUEUING or (job.status == JobStatus.SENT and job.protocol > 1):
            assert after.status == JobStatus.CANCELED
        else:
            assert (after.status, after.cancel_requested_at is not None) == (job.status, True)

    @precondition(lambda self: self.jobs)
    @rule()
    def beat(self) -> None:
        for agent in self.agents:
            before = {job.pk: job for job in Job.objects.filter(agent=agent)}
            (to_end,) = beat_jobs([Beat(agent_id=agent.pk, job_ids=frozenset(self.jobs))], now=self.now)
            for job in Job.objects.filter(agent=agent):
                asked = job.status == JobStatus.CANCELED or (
                    job.status in ACTIVE and job.cancel_requested_at is not None
                )
                assert (job.pk in to_end) == asked
                assert job.events_count == before[job.pk].events_count

    @rule(seconds=st.sampled_from([1, 20, 40, 130, 700, 1000]))
    def sweep_later(self, seconds: int) -> None:
        self._advance(seconds)
        expire_overdue_jobs(now=self.now)
        late = Job.objects.filter(pk__in=self.jobs, status__in=ACTIVE, lease_until__lt=self.now)
        assert not late.exists()

    @rule(seconds=st.sampled_from([1, 130, 700, 8 * 86400]))
    def pass_time(self, seconds: int) -> None:
        self._advance(seconds)

    @rule(is_heard=st.booleans())
    def presence(self, is_heard: bool) -> None:
        if is_heard:
            touches = [AgentTouch(agent_id=agent.pk, ip=None, version="") for agent in self.agents]
            touch_agents(touches, now=self.now)
        mark_silent_agents(now=self.now)

    @precondition(lambda self: self.jobs)
    @rule(number=_NUMBERS)
    def remove_the_agent_and_come_back(self, number: int) -> None:
        agent = self.agents[number % 2]
        cancel_jobs_of_agent(agent.pk, "test", self.now)
        assert not Job.objects.filter(agent=agent, status__in=[JobStatus.QUEUING, *ACTIVE]).exists()
        Agent.objects.filter(pk=agent.pk).update(online=True, last_seen_at=self.now)

    @precondition(lambda self: self.jobs)
    @rule(number=_NUMBERS)
    def use_up_the_offers(self, number: int) -> None:
        """Without acknowledgments under protocol 2, the job expires after the maximum of offers."""
        job = self._job(number)
        if job.status != JobStatus.SENT or job.protocol == 1:
            return
        Job.objects.filter(pk=job.pk).update(offer=OFFERS_LIMIT)
        self.offers[job.pk] = OFFERS_LIMIT
        self.sweep_later_once()
        asked = job.cancel_requested_at is not None
        assert asked or self._job(number).status == JobStatus.EXPIRED

    def sweep_later_once(self) -> None:
        self._advance(700)
        expire_overdue_jobs(now=self.now)

    @rule()
    def sweep_the_absent(self) -> None:
        expire_jobs_of_absent_agents(now=self.now)

    @invariant()
    def the_checker_is_content(self) -> None:
        assert [str(found) for found in check(Path("/nonexistent"), connection, limits=_LIMITS, now=self.now)] == []

    @invariant()
    def an_end_stands(self) -> None:
        for job_id, status, late in Job.objects.filter(pk__in=self.jobs).values_list("id", "status", "late"):
            before = self.ends.get(job_id)
            assert before in (None, status) or (before == "expired" and late and status in ("succeeded", "failed"))
            if status in TERMINAL:
                self.ends[job_id] = status


_WALKS: list[list[tuple[str, tuple[object, ...]]]] = [
    *([("begin", (1, started)), ("report", (0, kind, 1, False))] for started in (0, 1) for kind in ReportKind),
    *(
        [("begin", (1, started)), ("sweep_later", (700,)), ("report", (0, kind, 1, False))]
        for started in (0, 1)
        for kind in (ReportKind.SUCCEED, ReportKind.FAIL)
    ),
    *([("begin", (protocol, started)), ("cancel", (0,))] for protocol in (1, 2) for started in (0, 1)),
    *([("begin", (1, started)), ("remove_the_agent_and_come_back", (0,))] for started in (0, 1)),
    [("begin", (2, 0)), ("sweep_later", (40,)), ("claim", (0, 2))],
    [("submit", (0, False)), ("remove_the_agent_and_come_back", (0,))],
    [("submit", (0, False)), ("cancel", (0,))],
    [("submit", (0, True)), ("sweep_later", (1000,))],
]
"""The shortest ways to every transition: chance alone finds the rare ones too seldom."""


@pytest.fixture
def reached() -> Iterator[Counter[tuple[str, str, str]]]:
    """The number of times that each transition was made."""
    _reached.clear()
    yield _reached
    _reached.clear()


@pytest.mark.django_db
def test_any_order_of_calls_keeps_the_promises_and_reaches_every_transition(
    reached: Counter[tuple[str, str, str]],
) -> None:
    for walk in _WALKS:
        life = Life()
        for name, arguments in walk:
            getattr(life, name)(*arguments)
            life.the_checker_is_content()
            life.an_end_stands()
        life.teardown()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=20,
            stateful_step_count=15,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    wanted = {(str(move), str(a or ""), str(b)) for move, pairs in TRANSITIONS.items() for a, b in pairs}
    for arrow in sorted(wanted):
        print(f"{arrow[0]:12} {arrow[1] or '-':10} -> {arrow[2]:10} {reached[arrow]:6}")
    assert wanted - set(reached) == set()
