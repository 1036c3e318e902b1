"""The product in one process: its services behind a small server, small clients that write logs, a simulated clock.

The clients write the logs that `records.py` reads. `Server` is correct; a planted defect is a subclass with one
mistake. Traffic is random from a seed and full of faults: lost answers, failed COMMITs, concurrent polls with one
token, reports from other agents, repeated and contradicting reports, silent agents, a flushed Redis.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.db import transaction
from django_redis import get_redis_connection

from agents.models import Agent
from agents.services.presence import AgentTouch, touch_agents
from jobs.life.beat import Beat, beat_jobs
from jobs.life.cancel import cancel_job
from jobs.life.claim import Claim, PutBack, claim_jobs, put_back_jobs
from jobs.life.overdue import expire_overdue_jobs
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.life.submit import Submission, submit_jobs
from jobs.models import Job
from jobs.order import JobOrder
from jobs.states import TERMINAL
from jobs.transitions import Output
from kernel.clock import database_now
from kernel.errors import AppError, JobFinished, Unavailable
from kernel.ids import new_id
from tests.factories import gateway_alive, make_agent, make_user

LEASE_SECONDS = 60
SWEEP_SECONDS = 24
LONGEST_STEP_SECONDS = 2.0
_ENDS = (ReportKind.SUCCEED, ReportKind.FAIL)


class _CommitFailed(Exception):
    """The COMMIT failed and the transaction was rolled back."""


class Server:
    """The services, called as the gateway calls them. The simulation sets `now`."""

    now: dt.datetime

    def submit(self, submission: Submission, *, commits: bool = True, answered: bool = True) -> Job | AppError:
        """Submit. A failed COMMIT is answered with Unavailable; after a COMMIT without an answer, retry."""
        try:
            outcome = self._submit_once(submission, commits)
        except _CommitFailed:
            return Unavailable()
        return outcome if answered else self._submit_once(submission, True)

    def _submit_once(self, submission: Submission, commits: bool) -> Job | AppError:
        with transaction.atomic():
            (outcome,) = submit_jobs([submission], now=self.now)
            if not commits:
                raise _CommitFailed
        return outcome

    def claim(self, claim: Claim) -> Job | None:
        """Claim for one client."""
        return claim_jobs([claim], now=self.now)[0]

    def claim_at_once(self, one: Claim, two: Claim) -> tuple[Job | None, Job | None]:
        """Claim from two gateways at the same time. The database serializes the two."""
        return self.claim(one), self.claim(two)

    def put_back(self, claim: Claim) -> None:
        """Put the job back: the answer of the claim was not sent."""
        put_back_jobs([PutBack(request_id=claim.request_id)], now=self.now)

    def report(self, report: Report) -> AppError | None:
        """Take a report."""
        return report_jobs([report], now=self.now)[0]

    def sweep(self, meanwhile: Callable[[], None]) -> None:
        """Expire overdue jobs. `meanwhile` runs during the sweep, which must re-read the rows after it."""
        meanwhile()
        expire_overdue_jobs(now=self.now)


@dataclass(kw_only=True)
class Client:
    """One process of an agent. `holds`: the accepted offer by job id; `reported`: its report of each end."""

    name: str
    agent: Agent
    protocol: int
    holds: dict[str, int] = field(default_factory=dict)
    reported: dict[str, Report] = field(default_factory=dict)


class Simulation:
    """One run: users, clients, their logs, and the clock."""

    def __init__(self, folder: Path, server: Server, seed: int) -> None:
        self.folder = folder
        self.server = server
        self.random = random.Random(seed)
        self.start = self.now = self.next_sweep = server.now = database_now()
        self.keys = 0
        alice, charlie = make_user(), make_user()
        twins, sibling, stranger = make_agent(owner=alice), make_agent(owner=alice), make_agent(owner=charlie)
        self.clients = [
            Client(name="old-1", agent=twins, protocol=1),
            Client(name="old-2", agent=twins, protocol=1),
            Client(name="new-1", agent=sibling, protocol=2),
            Client(name="old-3", agent=stranger, protocol=1),
        ]

    def run(self, steps: int) -> None:
        """Do `steps` random actions, then let every job end."""
        things = (
            [self.submit] * 6
            + [self.poll] * 4
            + [self.poll_at_once] * 2
            + [self.progress, self.finish, self.finish, self.finish]
            + [self.meddle, self.contradict, self.cancel, self.flush, self.silence, self.silence]
        )
        for _ in range(steps):
            self.pass_time(self.random.uniform(0.5, LONGEST_STEP_SECONDS))
            self.random.choice(things)()
        self.rest()

    def rest(self) -> None:
        """Claim and finish all jobs, and wait until the lost ones have expired."""
        for _ in range(20):
            for client in self.clients:
                while self._poll(client, trouble="none"):
                    self._finish_all(client)
                self._finish_all(client)
            if not Job.objects.exclude(status__in=TERMINAL).exists():
                return
            self.pass_time(SWEEP_SECONDS)

    def pass_time(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Move the clock. If a sweep is due, run it, and `meanwhile` during it."""
        self.now = self.server.now = self.now + dt.timedelta(seconds=seconds)
        if self.now >= self.next_sweep:
            self.next_sweep = self.now + dt.timedelta(seconds=SWEEP_SECONDS)
            gateway_alive(now=self.now)
            self.server.sweep(meanwhile)

    def note(self, source: str, do: str, **what: Any) -> None:
        """Write a line to a log, at the clock's time."""
        line = {"t": (self.now - self.start).total_seconds(), "do": do, **what}
        with (self.folder / f"{source}.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    # Random actions.

    def submit(self) -> None:
        """A program submits a job; with a key, it retries until it is answered."""
        client = self.random.choice(self.clients)
        self.keys += 1
        key = f"key-{self.keys}" if self.random.random() < 0.7 else None
        message = f"message {self.keys}"
        for _ in range(4):
            trouble = self.random.choice(["none", "none", "commit fails", "commit unanswered", "answer lost"])
            submission = Submission(
                owner_id=client.agent.owner_id,
                actor="simulation",
                order=JobOrder(agent=client.agent.pk, message=message, ttl_seconds=3600),
                idempotency_key=key,
            )
            outcome = self.server.submit(
                submission, commits=trouble != "commit fails", answered=trouble != "commit unanswered"
            )
            failed = isinstance(outcome, AppError)
            status, job_id = (outcome.status, None) if isinstance(outcome, AppError) else (201, outcome.pk)
            if trouble == "answer lost":
                failed, status, job_id = True, None, None
            self.note("submit-1", "submit", key=key, agent=client.agent.pk, message=message, status=status, id=job_id)
            if not failed or key is None:
                return

    def poll(self) -> None:
        """A client polls."""
        self._poll(self.random.choice(self.clients))

    def _poll(self, client: Client, trouble: str = "") -> bool:
        claim = Claim(agent_id=client.agent.pk, protocol=client.protocol)
        touch_agents([AgentTouch(agent_id=client.agent.pk, ip="192.0.2.1", version="simulation")], now=self.now)
        job = self.server.claim(claim)
        trouble = trouble or self.random.choice(["none"] * 6 + ["never left", "lost"])
        if job is not None and trouble == "never left":
            self.server.put_back(claim)
        elif job is not None and trouble == "none":
            self._take(client, job)
        return job is not None

    def poll_at_once(self) -> None:
        """The two clients of one token poll through two gateways at the same time."""
        one, two = self.clients[:2]
        claims = Claim(agent_id=one.agent.pk), Claim(agent_id=two.agent.pk)
        for client, job in zip((one, two), self.server.claim_at_once(*claims), strict=True):
            if job is not None:
                self._take(client, job)

    def _take(self, client: Client, job: Job) -> None:
        """Start a job: an old client at once, a new one after its acknowledgment was answered."""
        if client.protocol == 1:
            self.note(client.name, "claimed", agent=client.agent.pk, id=job.pk)
        elif self._send(client, job.pk, ReportKind.RUNNING, "", offer=job.offer) != 204:
            return
        client.holds[job.pk] = job.offer
        self.note(client.name if client.protocol == 1 else "runs", "started", agent=client.agent.pk, id=job.pk)

    def progress(self) -> None:
        """A client reports that a command still runs: an old one for the job, a new one by a heartbeat."""
        client = self.random.choice(self.clients)
        if client.holds and client.protocol == 2:
            beat_jobs([Beat(agent_id=client.agent.pk, job_ids=frozenset(client.holds))], now=self.now)
        elif client.holds:
            self._send(client, self.random.choice(list(client.holds)), ReportKind.RUNNING, "half")

    def finish(self) -> None:
        """A command ends and its client reports the outcome."""
        client = self.random.choice([one for one in self.clients if one.holds] or self.clients)
        if client.holds:
            self._finish(client, self.random.choice(list(client.holds)))

    def _finish_all(self, client: Client) -> None:
        for job_id in list(client.holds):
            self._finish(client, job_id)

    def _finish(self, client: Client, job_id: str) -> None:
        del client.holds[job_id]
        self.note(client.name if client.protocol == 1 else "runs", "ended", agent=client.agent.pk, id=job_id)
        kind, text = self.random.choice(_ENDS), f"did {job_id} " + "x" * self.random.choice([0, 2000])
        for _ in range(3):
            if self._send(client, job_id, kind, text, is_lost=self.random.random() < 0.2) is not None:
                return

    def _send(
        self,
        client: Client,
        job_id: str,
        kind: ReportKind,
        text: str,
        *,
        is_lost: bool = False,
        offer: int | None = None,
    ) -> int | None:
        report = Report(
            agent_id=client.agent.pk,
            job_id=job_id,
            kind=kind,
            output=Output(text=text),
            protocol=client.protocol,
            offer=offer,
        )
        outcome = self.server.report(report)
        status = None if is_lost else 204 if outcome is None else outcome.status
        self.note(client.name, "report", agent=client.agent.pk, id=job_id, kind=str(kind), status=status, text=text)
        if kind in _ENDS:
            client.reported[job_id] = report
        return status

    def meddle(self) -> None:
        """An agent reports the end of a job of another agent."""
        holders = [client for client in self.clients if client.holds]
        if holders:
            one = self.random.choice(holders)
            other = self.random.choice([client for client in self.clients if client.agent != one.agent])
            self._send(other, self.random.choice(list(one.holds)), self.random.choice(_ENDS), "not mine")

    def contradict(self) -> None:
        """An old client reports the opposite outcome after its first report."""
        client = self.random.choice([one for one in self.clients if one.protocol == 1])
        if client.reported:
            first = self.random.choice(list(client.reported.values()))
            (other,) = {*_ENDS} - {first.kind}
            outcome = self.server.report(
                replace(first, kind=other, output=Output(text="otherwise"), request_id=new_id())
            )
            status = 204 if outcome is None else outcome.status
            self.note(
                client.name,
                "report",
                agent=client.agent.pk,
                id=first.job_id,
                kind=str(other),
                status=status,
                text="otherwise",
            )

    def cancel(self) -> None:
        """An owner cancels a job."""
        job = self.random.choice([*Job.objects.order_by("pk")[:50], None])
        if job is not None:
            with contextlib.suppress(JobFinished):
                cancel_job(owner_id=job.owner_id, job_id=job.pk, actor="simulation", now=self.now)

    def flush(self) -> None:
        """Redis is flushed."""
        get_redis_connection().flushall()

    def silence(self) -> None:
        """Agents are silent for longer than a lease; some results arrive during the sweep."""
        for _ in range(3):
            self.pass_time(SWEEP_SECONDS, self._finish_overdue)

    def _finish_overdue(self) -> None:
        for client in self.clients:
            overdue = Job.objects.filter(pk__in=client.holds, lease_until__lt=self.now).values_list("pk", flat=True)
            for job_id in [one for one in overdue if self.random.random() < 0.5]:
                self._finish(client, job_id)
