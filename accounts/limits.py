"""The rate limiter of Django's threads: a blocking client of Redis, and this process's counters while Redis is away."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from accounts.credentials import Principal, identify, limit_on
from kernel.coroutines import run_without_loop
from kernel.failpoints import reach
from kernel.limits import REDIS_WITHIN_SECONDS, Limit, NoCounter, RateLimiter, Tally, count_command, read_reply

logger = logging.getLogger(__name__)

Caller = TypeVar("Caller")

# While Redis is away or hangs, one call in this time waits for it, and the others do not.
_LEAVE_ALONE_SECONDS = 2.0


def identify_within_limits(token: str, *, address: str | None) -> Principal:
    """Return who calls with a well-formed token, and count the call.

    Raises LimitExceeded for a call over the limit of its token, and for an unknown token if its address has tried too
    many; else Unauthorized for an unknown token.
    """
    principal = count_unknown(lambda: identify(token), address=address)
    count_within(limit_on(principal))
    return principal


def count_unknown(look_up: Callable[[], Caller], *, address: str | None) -> Caller:
    """Return whom `look_up` finds, and count the Unauthorized that it raises; see `RateLimiter.count_unknown`."""

    async def find() -> Caller:
        return look_up()

    return run_without_loop(_limiter.count_unknown(find, address=address))


def count_within(limit: Limit | None) -> None:
    """Count one more, or raise LimitExceeded."""
    run_without_loop(_limiter.count(limit))


class BlockingCounter:
    """Counts in Redis; after Redis did not answer it is left alone for a while."""

    def __init__(self) -> None:
        self._away_until = 0.0

    async def count(self, key: str, add: int) -> Tally:
        """Count and tell. Blocks the thread. Raises NoCounter."""
        if time.monotonic() < self._away_until:
            raise NoCounter
        try:
            # redis-py types its commands, but not execute_command.
            reach("view_limit.before_count")
            reply = _redis().execute_command(*count_command(key, add))  # type: ignore[no-untyped-call]
            reach("view_limit.after_count")
        except RedisError as error:
            self._away_until = time.monotonic() + _LEAVE_ALONE_SECONDS
            logger.warning("no Redis", extra={"action": "limits.local", "error": type(error).__name__})
            raise NoCounter from error
        return read_reply(reply)


@functools.cache
def _redis() -> Redis:
    """Return a client with less patience than the cache's, which retries: a caller waits for this one."""
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=REDIS_WITHIN_SECONDS,
        socket_connect_timeout=REDIS_WITHIN_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


_limiter = RateLimiter(BlockingCounter().count)
