"""Ends a Celery worker that does no work although there is some, so that its supervisor starts a new one.

A worker whose Redis was reset may stay alive and consume nothing. Its process looks like that of a healthy worker; the
sign is that ticks wait in the broker, or are dropped as stale, and no task does its work. Only work that was done is
progress: a tick that was taken and dropped is not, and neither is one that failed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import NoReturn

from celery import Celery
from celery.worker import state
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from kernel.loops import end_process, start_thread
from letserver.ticks import progress

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
LOOK_EVERY_SECONDS = 5.0
_ANSWER_WITHIN_SECONDS = 2.0


class Watch:
    """Decides, from what is seen every few seconds, whether the worker is stuck. Times are monotonic seconds.

    `longest_task_seconds`: a worker that holds a task may take no other for so long.
    """

    def __init__(self, *, now: float, longest_task_seconds: float) -> None:
        self._longest_task_seconds = longest_task_seconds
        self._looked_at = self._idle_until = now

    def look(self, now: float, *, waiting: int | None, held: int, worked_at: float, dropped_at: float) -> bool:
        """Tell whether the worker is stuck.

        `waiting`: ticks in the broker (None: it does not answer). `held`: tasks that this worker has. `worked_at`,
        `dropped_at`: when one last did its work, and when one was last dropped as stale.
        """
        # The process was stopped for a while, and the worker with it: it has not had its time yet.
        slept = now - self._looked_at > 3 * LOOK_EVERY_SECONDS + _ANSWER_WITHIN_SECONDS
        has_work = bool(waiting) or dropped_at >= self._looked_at
        self._looked_at = now
        if not has_work or slept:
            self._idle_until = now
            return False
        patience = PATIENCE_SECONDS + (self._longest_task_seconds if held else 0.0)
        return now - max(worked_at, self._idle_until) > patience


def start_watchdog(app: Celery, *, redis_url: str) -> None:
    """Watch this process from a thread, until it ends. Called once, in a worker's main process."""
    watch = Watch(now=time.monotonic(), longest_task_seconds=app.conf.task_time_limit)

    broker = Redis.from_url(
        redis_url,
        socket_timeout=_ANSWER_WITHIN_SECONDS,
        socket_connect_timeout=_ANSWER_WITHIN_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    queues: set[str] = set()

    def look() -> bool:
        time.sleep(LOOK_EVERY_SECONDS)
        # A queue that the worker has once consumed stays on the list: a worker that lost a queue is stuck too.
        queues.update(_queues(app))
        waiting = _length(broker, queues)
        stuck = watch.look(
            time.monotonic(),
            waiting=waiting,
            held=len(state.reserved_requests),
            worked_at=progress.worked_at,
            dropped_at=progress.dropped_at,
        )
        if stuck:
            _end(waiting)
        return True

    start_thread("watchdog", look)


def _queues(app: Celery) -> list[str]:
    """Return the keys of the queues that this worker takes from. It chooses them after it has begun to start."""
    prefix = app.conf.broker_transport_options["global_keyprefix"]
    return [prefix + name for name in app.amqp.queues.consume_from]


def _length(broker: Redis, queues: Iterable[str]) -> int | None:
    try:
        return sum(int(broker.llen(queue)) for queue in queues)
    except RedisError:
        return None


def _end(waiting: int | None) -> NoReturn:
    """End the process at once, because a worker that does not consume may not react to SIGTERM either.

    Its children end with it (`letserver.lifeline`). The ticks that they were running come again.
    """
    logger.error("worker does no work", extra={"action": "worker.stuck", "waiting": waiting})
    end_process()
