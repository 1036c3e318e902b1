"""Rate limits where Django REST framework answers: counts in Redis, and in this process while Redis is away.

The gateway does the same over its own link (`jobs/gateway/limits.py`); what is counted stands in `kernel/limits.py`.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from accounts.credentials import Principal, identify, limit_on
from kernel.errors import Unauthorized
from kernel.failpoints import reach
from kernel.limits import REDIS_WITHIN_SECONDS, Limit, LocalCounters, Tally, count_command, read_reply, unknown_tokens

logger = logging.getLogger(__name__)

# A Redis that is away or hangs costs one call in so many seconds its patience, not every call.
_LEAVE_ALONE_SECONDS = 2.0


def identify_within_limits(token: str, *, address: str | None) -> Principal:
    """Return who calls with a well-formed token, and count the call.

    Raises LimitExceeded before the token is looked up where its address has tried too many, and for the call itself;
    Unauthorized for an unknown token.
    """
    with counting_failures(address):
        principal = identify(token)
    calls = limit_on(principal)
    if calls is not None:
        calls.allow(_counters.count(calls, 1))
    return principal


@contextmanager
def counting_failures(address: str | None) -> Iterator[None]:
    """Count an Unauthorized that the body raises; LimitExceeded, before the body, where the address has too many."""
    failures = unknown_tokens(address)
    if failures is not None:
        failures.allow(_counters.count(failures, 0), further=1)
    try:
        yield
    except Unauthorized:
        if failures is not None:
            # Of many that were let in at once, no more are told 401 than the limit says.
            failures.allow(_counters.count(failures, 1))
        raise


def count_within(limit: Limit | None) -> None:
    """Count one more, or raise LimitExceeded."""
    if limit is not None:
        limit.allow(_counters.count(limit, 1))


class SharedCounters:
    """Counts in Redis; for a while after it did not answer, in this process."""

    def __init__(self) -> None:
        self._local = LocalCounters()
        self._away_until = 0.0

    def count(self, limit: Limit, add: int) -> Tally:
        """Count and tell."""
        return self._count_in_redis(limit.key, add) or self._local.count(limit.key, add)

    def _count_in_redis(self, key: str, add: int) -> Tally | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            # The library types its commands, not the way to send one as it stands.
            reach("view_limit.before_count")
            reply = _redis().execute_command(*count_command(key, add))  # type: ignore[no-untyped-call]
            reach("view_limit.after_count")
            return read_reply(reply)
        except RedisError as error:
            self._away_until = time.monotonic() + _LEAVE_ALONE_SECONDS
            logger.warning("no Redis", extra={"action": "limits.local", "error": type(error).__name__})
            return None


_counters = SharedCounters()


@functools.cache
def _redis() -> Redis:
    """Return a client with less patience than the cache's, which retries: a caller waits for this one."""
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=REDIS_WITHIN_SECONDS,
        socket_connect_timeout=REDIS_WITHIN_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
