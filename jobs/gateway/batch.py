"""One batch of the writer: together in one transaction, or, when that fails, each in a savepoint of its own."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.db import DataError, connection, transaction
from django.db import Error as DatabaseFault

from agents.services.presence import AgentTouch, touch_agents
from jobs.life.beat import Beat, beat_jobs
from jobs.life.claim import Claim, PutBack, claim_jobs, put_back_jobs
from jobs.life.report import Report, report_jobs
from jobs.life.submit import Submission, submit_jobs
from jobs.queues.pull import Pull, pull_jobs
from kernel.clock import database_now
from kernel.errors import AppError, Unavailable
from kernel.transactions import FRESH_SECONDS, RETRYABLE, named_transaction, retry_transaction

if TYPE_CHECKING:
    from jobs.gateway.writer import Item

logger = logging.getLogger(__name__)

Value = AgentTouch | Submission | Report | Beat | PutBack | Claim | Pull
Service = Callable[..., Sequence[Any]]

_TRIES_ALONE = 2
_LOCK_WAIT_OVER = 1205  # ER_LOCK_WAIT_TIMEOUT: the statement is undone, the transaction lives


def _touch(touches: Sequence[AgentTouch], *, now: dt.datetime) -> Sequence[None]:
    touch_agents(touches, now=now)
    return [None] * len(touches)


SERVICES: dict[type, Service] = {
    AgentTouch: _touch,
    Submission: submit_jobs,
    Report: report_jobs,
    Beat: beat_jobs,
    PutBack: put_back_jobs,
    Claim: claim_jobs,
    Pull: pull_jobs,
}
"""By item, in the order within a transaction: who is there, what came, what ended, what may start."""


def serve(items: Sequence[Item]) -> Iterator[dict[Item, object]]:
    """Yield outcomes as they stand: a value, or the AppError to raise, for every item once.

    The first try takes all together. Whatever goes wrong with it, the next ones take each alone, so that one item's
    refusal, lock or bug is nobody else's; reports come last, because they alone wait for rows that others may hold.
    Ids were made before, so a try whose COMMIT went through unheard is found. Whoever gave up waiting is not served.
    """
    outcomes = _try([item for item in items if item.is_worth_serving], _together)
    yield outcomes
    left = [item for item in items if item not in outcomes]
    for group in ([i for i in left if type(i.value) is not Report], [i for i in left if type(i.value) is Report]):
        outcomes = {}
        for _ in range(_TRIES_ALONE):
            outcomes |= _try([item for item in group if item not in outcomes and item.is_worth_serving], _one_by_one)
        yield {item: outcomes[item] if item in outcomes else Unavailable() for item in group}


def _try(items: Sequence[Item], run: Callable[[Sequence[Item]], list[object]]) -> dict[Item, object]:
    """Return the outcomes of one transaction, or nothing if it failed."""
    if not items:
        return {}
    for item in items:
        item.tried = True
    try:
        return dict(zip(items, run(items), strict=True))
    except (*RETRYABLE, DataError) as error:
        logger.info("batch refused", extra={"action": "writer.refused", "error": type(error).__name__})
    except DatabaseFault as error:
        connection.close()
        logger.warning("batch failed", extra={"action": "writer.retry", "error": type(error).__name__})
    except Exception:
        # The top of the writer's loop: a bug in one batch must not end the thread that serves all.
        logger.exception("batch broke", extra={"action": "writer.bug", "items": len(items)})
    return {}


def _together(items: Sequence[Item]) -> list[object]:
    outcomes: dict[int, object] = {}
    with named_transaction("writer.together", fresh_seconds=FRESH_SECONDS):
        now = database_now()
        for kind, service in SERVICES.items():
            members = [at for at, item in enumerate(items) if type(item.value) is kind]
            if members:
                outcomes |= zip(members, service([items[at].value for at in members], now=now), strict=True)
    return [outcomes[at] for at in range(len(items))]


def _one_by_one(items: Sequence[Item]) -> list[object]:
    with named_transaction("writer.one_by_one", fresh_seconds=FRESH_SECONDS):
        now = database_now()
        return [_alone(item, now) if item.is_worth_serving else Unavailable() for item in items]


def _alone(item: Item, now: dt.datetime) -> object:
    """Return one item's outcome; a race that it lost is run once more, and then sees the winner's row."""

    def in_savepoint() -> object:
        with transaction.atomic():
            return SERVICES[type(item.value)]([item.value], now=now)[0]

    try:
        return retry_transaction(in_savepoint)
    except AppError as error:
        return error
    except DataError:
        return AppError()
    except DatabaseFault as error:
        if error.args[:1] != (_LOCK_WAIT_OVER,):
            raise
        return Unavailable()
    except Exception:
        logger.exception("item broke", extra={"action": "writer.bug", "kind": type(item.value).__name__})
        return AppError()
