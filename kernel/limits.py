"""The rate limits of calls, unknown tokens, passwords and login codes, and the one rate limiter that counts them.

A window begins with the first thing counted in it and ends a minute later. One key in Redis counts it for all
processes, and Redis's own clock ends it; while Redis does not answer, each process counts for itself.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from kernel.errors import LimitExceeded, Unauthorized
from kernel.rediskeys import limit_key

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Caller = TypeVar("Caller")

WINDOW_SECONDS = 60
REDIS_WITHIN_SECONDS = 0.1
_LOCAL_LIMIT = 10_000
_LOGIN_OFFERS = 20
_AUDITED_FAILURES = 60

# A script, so that no counter is left without an expiry: a crash could come between INCRBY and PEXPIRE.
# KEYS: the counter. ARGV: how many to add (0 only looks), milliseconds of a window.
_SCRIPT = """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `number` in a window, counted under `key`. `sentence` has places for `number` and `seconds`."""

    key: str
    number: int
    sentence: str | _StrPromise

    def allow(self, tally: Tally) -> None:
        """Raise LimitExceeded if the count is over the limit."""
        if tally.count > self.number:
            seconds = max(1, math.ceil(tally.seconds_left))
            params: dict[str, object] = {"number": self.number, "seconds": seconds}
            raise LimitExceeded(self.sentence, params=params, retry_after_seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many were counted in the window that is open, and in how many seconds it ends."""

    count: int
    seconds_left: float


def user_calls(owner_id: str) -> Limit | None:
    """Return the limit on the calls of a person, with all of their tokens together; None: there is none."""
    sentence = _("You may make %(number)s calls a minute with all your tokens. Try again in %(seconds)s seconds.")
    return _limit("user", owner_id, settings.USER_CALLS_A_MINUTE, sentence)


def agent_calls(agent_id: str) -> Limit | None:
    """Return the limit on the calls of an agent, whichever token it has; None: there is none."""
    sentence = _("This agent may make %(number)s calls a minute. Try again in %(seconds)s seconds.")
    return _limit("agent", agent_id, settings.AGENT_CALLS_A_MINUTE, sentence)


def unknown_tokens(address: str | None) -> Limit | None:
    """Return the limit on unknown tokens from an address; None without one, or where the address is not known."""
    if address is None:
        return None
    sentence = _("This address may try %(number)s unknown tokens a minute. Try again in %(seconds)s seconds.")
    return _limit("address", subscriber(address), settings.AUTH_FAILURES_A_MINUTE, sentence)


def login_offers(address: str | None) -> Limit | None:
    """Return the limit on codes that browsers at an address are shown to be logged in by a chat."""
    sentence = _("This address was shown %(number)s login codes in a minute. Try again in %(seconds)s seconds.")
    return None if address is None else _limit("login", subscriber(address), _LOGIN_OFFERS, sentence)


def login_tries(address: str | None) -> Limit | None:
    """Return the limit on passwords that an address may try; None without one, or where the address is not known."""
    if address is None:
        return None
    sentence = _("This address may try %(number)s passwords a minute. Try again in %(seconds)s seconds.")
    return _limit("password", subscriber(address), settings.AUTH_FAILURES_A_MINUTE, sentence)


def audited_failures() -> Limit | None:
    """Return the limit on failed logins that get a line in the audit, from all addresses together."""
    return _limit("failures", "all", _AUDITED_FAILURES, "")


def subscriber(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 of an IPv6 address, which one subscriber has."""
    if ipaddress.ip_address(address).version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return address


def _limit(name: str, subject: str, number: int, sentence: str | _StrPromise) -> Limit | None:
    return Limit(key=limit_key(name, subject), number=number, sentence=sentence) if number else None


def count_command(key: str, add: int) -> tuple[str, ...]:
    """Return the Redis command that counts and tells, in one round trip; `read_reply` reads what it answers."""
    return ("EVAL", _SCRIPT, "1", key, str(add), str(WINDOW_SECONDS * 1000))


def read_reply(reply: object) -> Tally:
    """Return what Redis said; raise NoCounter if it said something else."""
    match reply:
        case [int() as count, int() as milliseconds_left]:
            return Tally(count=count, seconds_left=milliseconds_left / 1000)
        case _:
            raise NoCounter


class NoCounter(Exception):
    """Redis does not count now."""


class RateLimiter:
    """Counts with `count_in_redis`, which raises NoCounter while Redis is away; then in this process."""

    def __init__(self, count_in_redis: Callable[[str, int], Awaitable[Tally]]) -> None:
        self._count_in_redis = count_in_redis
        self._local = LocalCounters()

    async def count(self, limit: Limit | None) -> None:
        """Count one more, or raise LimitExceeded. None: there is no limit."""
        if limit is not None:
            limit.allow(await self._count(limit.key, 1))

    async def count_unknown(self, look_up: Callable[[], Awaitable[Caller]], *, address: str | None) -> Caller:
        """Return whom `look_up` finds; count the Unauthorized that it raises.

        Raises LimitExceeded instead of Unauthorized where this address has tried too many unknown tokens. A token that
        exists is never refused for the tries of others behind the same address.
        """
        try:
            return await look_up()
        except Unauthorized:
            await self.count(unknown_tokens(address))
            raise

    async def _count(self, key: str, add: int) -> Tally:
        try:
            return await self._count_in_redis(key, add)
        except NoCounter:
            return self._local.count(key, add)


class LocalCounters:
    """Counters of this process, for while Redis is away. Any thread may count; the oldest windows are pushed out."""

    def __init__(self, limit: int = _LOCAL_LIMIT) -> None:
        self._limit = limit
        self._windows: dict[str, tuple[int, float]] = {}  # count and end, in the order in which they began
        self._lock = threading.Lock()

    def count(self, key: str, add: int) -> Tally:
        """Count and tell."""
        now = time.monotonic()
        with self._lock:
            count, ends_at = self._windows.get(key, (0, now))
            if ends_at <= now:
                self._windows.pop(key, None)
                count, ends_at = 0, now + WINDOW_SECONDS
            self._windows[key] = (count + add, ends_at)
            if len(self._windows) > self._limit:
                del self._windows[next(iter(self._windows))]
            return Tally(count=count + add, seconds_left=ends_at - now)
