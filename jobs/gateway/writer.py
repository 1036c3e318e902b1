"""The writer: one thread, one connection, one transaction for whatever gathered while the last one committed.

Requests put items in and wait; the thread takes what is there, runs the batch-first services on it, commits, and
answers them all. No timer: under load the batches grow by themselves. See docs/architecture.md for its rules.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import DatabaseError, DataError, IntegrityError, connection, transaction

from agents.services.presence import AgentTouch, touch_agents
from jobs.models import Job
from jobs.services.claim import Claim, PutBack, claim_jobs, put_back_jobs
from jobs.services.moves import LostRace
from jobs.services.report import Report, report_jobs
from jobs.services.submit import Submission, submit_jobs
from kernel.clock import database_now
from kernel.errors import AppError, Unavailable

logger = logging.getLogger(__name__)

BATCH_LIMIT = 256
QUEUE_LIMIT = 4096
ANSWER_WITHIN_SECONDS = 2.0
"""Old clients give up after three seconds; whoever cannot be served within two is told so."""

_TRIES = 3
_FOREVER = float("inf")
_REFUSALS = (IntegrityError, DataError, LostRace)
"""What one item can cause: the batch is undone and its items are tried one by one."""

Answer = TypeVar("Answer")
Service = Callable[..., Sequence[Any]]


def _touch(touches: Sequence[AgentTouch], *, now: Any) -> Sequence[None]:
    touch_agents(touches, now=now)
    return [None] * len(touches)


Value = AgentTouch | Submission | Report | PutBack | Claim

SERVICES: dict[type, Service] = {
    AgentTouch: _touch,
    Submission: submit_jobs,
    Report: report_jobs,
    PutBack: put_back_jobs,
    Claim: claim_jobs,
}
"""By item, in the order within a transaction: who is there, what came, what ended, what may start."""


@dataclass(slots=True, eq=False)
class _Item:
    value: Value
    future: asyncio.Future[Any]
    give_up_at: float


class Writer:
    """Queue and thread. `submit`, `claim`, `report`, `touch` are awaited on the loop that called `start`."""

    def __init__(self) -> None:
        self._queue: deque[_Item] = deque()
        self._filled = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Start the thread; the running loop is the one whose futures it resolves."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Let the thread finish what is queued, then end it."""
        with self._filled:
            self._stopping = True
            self._filled.notify()
        await asyncio.to_thread(self._thread.join, ANSWER_WITHIN_SECONDS)

    async def submit(self, submission: Submission) -> Job:
        """Store a job; return after COMMIT. Raises what `submit_jobs` returns for it, or Unavailable."""
        job: Job = await self._put(submission)
        return job

    async def claim(self, claim: Claim) -> Job | None:
        """Take the agent's next job; return it after COMMIT."""
        job: Job | None = await self._put(claim)
        return job

    async def report(self, report: Report) -> None:
        """Take a report; return after COMMIT. Raises what `report_jobs` returns for it, or Unavailable."""
        await self._put(report)

    async def touch(self, touch: AgentTouch) -> None:
        """Write that an agent was heard; return after COMMIT."""
        await self._put(touch)

    def put_back(self, job: Job) -> None:
        """Give back a claimed job whose answer never left; nobody waits for it, and without it the lease ends it."""
        item = _Item(PutBack(job_id=job.pk, offer=job.offer), self._loop.create_future(), _FOREVER)
        with self._filled:
            self._queue.append(item)
            self._filled.notify()

    async def _put(self, value: Value) -> Any:
        item = _Item(value, self._loop.create_future(), time.monotonic() + ANSWER_WITHIN_SECONDS)
        with self._filled:
            if len(self._queue) >= QUEUE_LIMIT or self._stopping:
                raise Unavailable
            self._queue.append(item)
            self._filled.notify()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                outcome = await item.future
        except TimeoutError as error:
            raise Unavailable from error
        if isinstance(outcome, AppError):
            raise outcome
        return outcome

    def _run(self) -> None:
        _use_short_timeouts()
        while items := self._take():
            outcomes = _serve(items)
            self._loop.call_soon_threadsafe(self._resolve, items, outcomes)
        connection.close()

    def _take(self) -> list[_Item]:
        """Wait for items; return at most BATCH_LIMIT of them, or none at the end."""
        with self._filled:
            while not self._queue and not self._stopping:
                self._filled.wait()
            return [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_LIMIT))]

    def _resolve(self, items: Sequence[_Item], outcomes: Sequence[object]) -> None:
        for item, outcome in zip(items, outcomes, strict=True):
            if not item.future.done():
                item.future.set_result(outcome)
            elif isinstance(item.value, Claim) and isinstance(outcome, Job):
                self.put_back(outcome)


def _serve(items: Sequence[_Item]) -> list[object]:
    """Return one outcome per item: a value, or the AppError to raise. Whoever gave up waiting is not served."""
    outcomes: dict[_Item, object] = {}
    for _ in range(_TRIES):
        now = time.monotonic()
        left = [item for item in items if item not in outcomes and item.give_up_at > now and not item.future.done()]
        if not left:
            break
        try:
            outcomes |= zip(left, _one_transaction(left), strict=True)
        except _REFUSALS:
            outcomes |= _one_by_one(left)
        except DatabaseError as error:
            # Server gone, deadlock, lock or statement time: the same items with the same ids are safe to try again.
            connection.close()
            logger.warning("batch failed", extra={"action": "writer.retry", "error": type(error).__name__})
        except Exception:
            # The top of the writer's loop: a bug in one batch must not end the thread that serves all.
            logger.exception("batch broke", extra={"action": "writer.bug", "items": len(left)})
            outcomes |= _one_by_one(left)
    return [outcomes.get(item) if item in outcomes else Unavailable() for item in items]


def _one_transaction(items: Sequence[_Item]) -> list[object]:
    """Run every service on its items in one transaction; return the outcomes in the order of `items`."""
    outcomes: dict[int, object] = {}
    with transaction.atomic():
        now = database_now()
        for kind, service in SERVICES.items():
            members = [at for at, item in enumerate(items) if type(item.value) is kind]
            if members:
                outcomes |= zip(members, service([items[at].value for at in members], now=now), strict=True)
    return [outcomes[at] for at in range(len(items))]


def _one_by_one(items: Sequence[_Item]) -> dict[_Item, object]:
    """Run each item in a transaction of its own, twice if it is refused; a fault of one is its own 500 or 503."""
    outcomes: dict[_Item, object] = {}
    for item in items:
        for _ in range(_TRIES):
            if time.monotonic() > item.give_up_at:
                outcomes[item] = Unavailable()
                break
            try:
                outcomes[item] = _one_transaction([item])[0]
                break
            except _REFUSALS as error:
                outcomes[item] = Unavailable() if isinstance(error, LostRace) else AppError()
            except DatabaseError:
                connection.close()
                outcomes[item] = Unavailable()
            except Exception:
                logger.exception("item broke", extra={"action": "writer.bug", "kind": type(item.value).__name__})
                outcomes[item] = AppError()
                break
    return outcomes


def _use_short_timeouts() -> None:
    """Let this thread's connection give up in time for an answer within two seconds."""
    options = dict(connection.settings_dict["OPTIONS"])
    if connection.vendor == "mysql":
        options |= {"read_timeout": 2, "write_timeout": 2, "connect_timeout": 2}
    else:
        options |= {"timeout": ANSWER_WITHIN_SECONDS}
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
