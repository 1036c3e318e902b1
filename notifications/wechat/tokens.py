"""An access token that all processes share: fetched once, kept sealed in Redis; without Redis each process has its own.

WeChat's `token` and `stable_token`, and WeCom's `gettoken`, work alike: a token lives two hours, and that one was
replaced or withdrawn is only found out by using it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.cache import cache
from redis.exceptions import RedisError

from kernel.sealing import Unsealable, seal, unseal

logger = logging.getLogger(__name__)

# Refreshed so long before its end: both tokens are good in the last five minutes.
_MARGIN_SECONDS = 300
_SHORTEST_SECONDS = 30
_LOCK_SECONDS = 15
_LOCK_WAIT_SECONDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A token and its lifetime as the platform returned them."""

    token: str
    expires_in_seconds: float


class SharedToken:
    """One token of one account. `fetch` requests it from the platform; its errors reach the caller."""

    def __init__(self, name: str, fetch: Callable[[], Granted]) -> None:
        self._key = f"access-token:{name}"
        self._fetch = fetch
        self._lock = threading.Lock()
        self._own: tuple[str, float] = ("", 0.0)  # for while Redis is away

    def current(self) -> str:
        """Return the token that is valid as far as we know."""
        return self._known() or self.renew("")

    def renew(self, failed: str) -> str:
        """Return a token other than `failed`: one that another process fetched meanwhile, or a new one."""
        with self._lock, self._shared_lock():
            known = self._known()
            if known and known != failed:
                return known
            granted = self._fetch()
            seconds = max(granted.expires_in_seconds - _MARGIN_SECONDS, _SHORTEST_SECONDS)
            self._own = (granted.token, time.monotonic() + seconds)
            cache.set(self._key, seal(granted.token), timeout=int(seconds))
            return granted.token

    def _known(self) -> str:
        sealed = cache.get(self._key)
        if isinstance(sealed, str):
            try:
                return unseal(sealed)
            except Unsealable:
                return ""  # sealed with a key that was taken out
        token, good_until = self._own
        return token if time.monotonic() < good_until else ""

    @contextmanager
    def _shared_lock(self) -> Iterator[None]:
        """Let one process fetch. Without Redis, or if that process takes too long, each fetches its own."""
        lock = cache.lock(  # type: ignore[attr-defined]  # django-redis has it
            f"{self._key}:lock", timeout=_LOCK_SECONDS, blocking_timeout=_LOCK_WAIT_SECONDS
        )
        held = False
        try:
            held = bool(lock.acquire())
        except RedisError as error:
            logger.warning("no Redis", extra={"action": "token.alone", "error": type(error).__name__})
        try:
            yield
        finally:
            if held:
                try:
                    lock.release()
                except RedisError:
                    held = False  # the lock has expired or Redis is gone: no process waits for it
