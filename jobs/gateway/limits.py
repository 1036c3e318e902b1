"""Rate limits of the gateway: counts over its own link to Redis, and in this process while Redis is away.

Django REST framework does the same in `accounts/limits.py`; what is counted stands in `kernel/limits.py`.
"""

from __future__ import annotations

from accounts.credentials import Principal, limit_on
from jobs.gateway.principals import Principals
from jobs.gateway.redislink import NoRedis, RedisLink
from kernel.errors import Unauthorized
from kernel.limits import Limit, LocalCounters, Tally, unknown_tokens


class Limits:
    """Stands between a call and the look-up of its token."""

    def __init__(self, redis: RedisLink, principals: Principals) -> None:
        self._redis = redis
        self._principals = principals
        self._local = LocalCounters()

    async def identify(self, token: str, *, address: str | None, by: float) -> Principal:
        """Return who calls with a well-formed token, until `by`, and count the call.

        Raises LimitExceeded before the token is looked up where its address has tried too many (a token in memory is
        not looked up), and for the call itself; Unauthorized, or Unavailable.
        """
        principal = self._principals.remembered(token) or await self._look_up(token, address, by)
        calls = limit_on(principal)
        if calls is not None:
            calls.allow(await self._count(calls, 1))
        return principal

    async def _look_up(self, token: str, address: str | None, by: float) -> Principal:
        failures = unknown_tokens(address)
        if failures is not None:
            failures.allow(await self._count(failures, 0), further=1)
        try:
            return await self._principals.identify(token, by=by)
        except Unauthorized:
            if failures is not None:
                # Of many that were let in at once, no more are told 401 than the limit says.
                failures.allow(await self._count(failures, 1))
            raise

    async def _count(self, limit: Limit, add: int) -> Tally:
        try:
            return await self._redis.count(limit.key, add)
        except NoRedis:
            return self._local.count(limit.key, add)
