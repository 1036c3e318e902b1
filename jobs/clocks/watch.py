"""The thread that looks at clocks every ten seconds. Web, worker, courier and beat have one each."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import time
from collections.abc import Callable

from django.db import DatabaseError, connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobs.clocks.progress import last_progress, note_progress, report_silence
from jobs.clocks.skew import note_skew
from kernel.clock import approximate_ns, database_now, skew_seconds
from kernel.loops import start_thread

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""Without a tick that did its work for so long, due work stands still."""

_ANSWER_WITHIN_SECONDS = 2.0


class ClockWatch:
    """Measures for one process. `worked_ago` tells how many seconds ago a tick did its work here; None: never."""

    def __init__(self, role: str, *, redis_url: str, worked_ago: Callable[[], float | None] = lambda: None) -> None:
        self._host = socket.gethostname()
        self._name = f"{role}@{self._host}"[:255]
        self._worked_ago = worked_ago
        self._noted_at = 0.0
        self._seen: dt.datetime | None = None
        self._seen_at = 0.0
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=_ANSWER_WITHIN_SECONDS,
            socket_connect_timeout=_ANSWER_WITHIN_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def look(self) -> None:
        """Measure the clocks of this process and of Redis, and look for progress."""
        note_skew(name=self._name, host=self._host[:255], seconds=skew_seconds())
        redis_skew = self._skew_of_redis()
        if redis_skew is not None:
            note_skew(name="redis", host="redis", seconds=redis_skew)
        self._look_for_progress()

    def _look_for_progress(self) -> None:
        """Note new work of this process, and report a minute in which no process noted any.

        The minute is monotonic: neither a database's clock that is set nor a product that was down looks like silence.
        """
        now = time.monotonic()
        worked_ago = self._worked_ago()
        if worked_ago is not None and worked_ago < now - self._noted_at:
            note_progress(database_now() - dt.timedelta(seconds=worked_ago))
            self._noted_at = now
        seen = last_progress()
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        elif seen is not None and now - self._seen_at > PATIENCE_SECONDS:
            report_silence(since=seen)

    def _skew_of_redis(self) -> float | None:
        before = approximate_ns()
        try:
            seconds, microseconds = self._redis.time()
        except RedisError:
            return None
        after = approximate_ns()
        return (seconds * 10**9 + microseconds * 1000 - (before + after) // 2) / 1e9


def start_clock_watch(role: str, *, redis_url: str, worked_ago: Callable[[], float | None] = lambda: None) -> None:
    """Watch from a thread, until the process ends. Called once in a process."""
    watch = ClockWatch(role, redis_url=redis_url, worked_ago=worked_ago)

    def turn() -> bool:
        try:
            watch.look()
        except DatabaseError as error:
            logger.warning("clocks not measured", extra={"action": "clock.unknown", "error": type(error).__name__})
        finally:
            connection.close()
        time.sleep(EVERY_SECONDS)
        return True

    start_thread("clocks", turn)
