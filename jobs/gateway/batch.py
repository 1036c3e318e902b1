"""One batch of the writer: together in one transaction, or, where that fails, each request in its own savepoint."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from django.db import DataError, connection, transaction
from django.db import Error as DatabaseFault

from agents.services.presence import AgentTouch, touch_agents
from jobs.life.beat import beat_jobs
from jobs.life.claim import claim_jobs, put_back_jobs
from jobs.life.report import Report, report_jobs
from jobs.life.submit import Submission, submit_jobs
from jobs.models import Job
from jobs.queues.pull import pull_jobs
from kernel.clock import database_now
from kernel.errors import AppError, Unavailable
from kernel.transactions import FRESH_SECONDS, RETRYABLE, named_transaction, retry_transaction

logger = logging.getLogger(__name__)

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")
RequestIn = TypeVar("RequestIn", contravariant=True)
OutcomeOut = TypeVar("OutcomeOut", covariant=True)

_ATTEMPTS_ONE_BY_ONE = 2
_LOCK_WAIT_TIMEOUT = 1205  # ER_LOCK_WAIT_TIMEOUT: only the statement is rolled back


class BatchService(Protocol[RequestIn, OutcomeOut]):
    """Takes a sequence of requests; returns for each, in order, its outcome or the AppError for its caller."""

    def __call__(
        self, requests: Sequence[RequestIn], /, *, now: dt.datetime | None = None
    ) -> Sequence[OutcomeOut | AppError]: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WriteKind(Generic[Request, Outcome]):
    """A kind of write: its service, and what sets it apart from other kinds.

    `outlives_caller`: it is written even if its caller has given up, because its caller will not repeat it.
    `hands_out_job`: the writer puts the job back if its caller does not get it. `size_bytes`: how much it adds to a
    transaction.
    """

    service: BatchService[Request, Outcome]
    outlives_caller: bool = False
    hands_out_job: bool = False
    size_bytes: Callable[[Request], int] = field(default=lambda _request: 0)


def _touch(touches: Sequence[AgentTouch], *, now: dt.datetime | None = None) -> Sequence[None]:
    touch_agents(touches, now=now)
    return [None] * len(touches)


def _report_size(report: Report) -> int:
    text = report.output.text
    return len(text) if text.isascii() else len(text.encode())


TOUCH = WriteKind(service=_touch)
SUBMIT: WriteKind[Submission, Job] = WriteKind(service=submit_jobs)
# Old agents report once, and never again.
REPORT: WriteKind[Report, None] = WriteKind(service=report_jobs, outlives_caller=True, size_bytes=_report_size)
BEAT = WriteKind(service=beat_jobs)
PUT_BACK = WriteKind(service=put_back_jobs, outlives_caller=True)
CLAIM = WriteKind(service=claim_jobs, hands_out_job=True)
PULL = WriteKind(service=pull_jobs, hands_out_job=True)

ORDER: tuple[WriteKind[Any, Any], ...] = (TOUCH, SUBMIT, REPORT, BEAT, PUT_BACK, CLAIM, PULL)
"""The order within a transaction: presence, new jobs, ends, then what hands out jobs."""


@dataclass(slots=True, eq=False)
class Write:
    """A request in the writer's queue. Its caller waits for `future` until `answer_by` (monotonic).

    `attempted`: a transaction with it has begun, so it may have been committed.
    """

    kind: WriteKind[Any, Any]
    request: Any
    future: asyncio.Future[Any]
    answer_by: float
    size_bytes: int = 0
    attempted: bool = False

    @property
    def is_wanted(self) -> bool:
        """Whether it is still to be written."""
        return self.kind.outlives_caller or (time.monotonic() < self.answer_by and not self.future.done())


def serve(writes: Sequence[Write]) -> Iterator[dict[Write, object]]:
    """Yield outcomes as soon as they are committed: a value or an AppError, once for every write.

    The first attempt takes all together. If it fails, later attempts take each in its own savepoint, so that one
    write's refusal, lock or bug is no other's. Reports come last, because only they wait for rows that others may have
    locked. Ids were made before the first attempt, so that a write whose COMMIT was answered by silence is found. A
    write whose caller gave up is Unavailable.
    """
    outcomes = _attempt([write for write in writes if write.is_wanted], _together)
    yield outcomes
    left = [write for write in writes if write not in outcomes]
    for group in ([w for w in left if w.kind is not REPORT], [w for w in left if w.kind is REPORT]):
        outcomes = {}
        for _ in range(_ATTEMPTS_ONE_BY_ONE):
            outcomes |= _attempt([w for w in group if w not in outcomes and w.is_wanted], _one_by_one)
        yield {write: outcomes[write] if write in outcomes else Unavailable() for write in group}


def _attempt(writes: Sequence[Write], run: Callable[[Sequence[Write]], list[object]]) -> dict[Write, object]:
    """Return the outcomes of one transaction, or nothing if it failed."""
    if not writes:
        return {}
    for write in writes:
        write.attempted = True
    try:
        return dict(zip(writes, run(writes), strict=True))
    except (*RETRYABLE, DataError) as error:
        logger.info("batch refused", extra={"action": "writer.refused", "error": type(error).__name__})
    except DatabaseFault as error:
        connection.close()
        logger.warning("batch failed", extra={"action": "writer.retry", "error": type(error).__name__})
    except Exception:
        # A bug that one request provokes must not fail the others of its batch.
        logger.exception("batch failed", extra={"action": "writer.bug", "writes": len(writes)})
    return {}


def _together(writes: Sequence[Write]) -> list[object]:
    outcomes: dict[int, object] = {}
    with named_transaction("writer.together", fresh_seconds=FRESH_SECONDS):
        now = database_now()
        for kind in ORDER:
            members = [at for at, write in enumerate(writes) if write.kind is kind]
            if members:
                outcomes |= zip(members, kind.service([writes[at].request for at in members], now=now), strict=True)
    return [outcomes[at] for at in range(len(writes))]


def _one_by_one(writes: Sequence[Write]) -> list[object]:
    with named_transaction("writer.one_by_one", fresh_seconds=FRESH_SECONDS):
        now = database_now()
        return [_in_savepoint(write, now) if write.is_wanted else Unavailable() for write in writes]


def _in_savepoint(write: Write, now: dt.datetime) -> object:
    """Return the outcome of one write; a fault that concerns it alone is its outcome, others are raised."""

    def run() -> object:
        with transaction.atomic():
            return write.kind.service([write.request], now=now)[0]

    try:
        return retry_transaction(run)
    except AppError as error:
        return error
    except DataError:
        return AppError()
    except DatabaseFault as error:
        if error.args[:1] != (_LOCK_WAIT_TIMEOUT,):
            raise
        return Unavailable()
    except Exception:
        logger.exception("write failed", extra={"action": "writer.bug", "request": type(write.request).__name__})
        return AppError()
