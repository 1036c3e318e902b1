"""Identifies callers from a cache of tokens, counts their calls, and records that agents called.

A cached token stays until it is pushed out or it, its agent or its user changes. Each process reads what changed in the
last seconds twice a second. If that reading is more than a second old, the cache is not believed and the database is
asked; if the database does not answer either, the answer is 503, our fault, and never 401.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings

from accounts import credentials, tokens
from accounts.credentials import Principal, limit_on
from accounts.identity import user_tokens_changed_since, users_changed_since
from agents.identity import agent_tokens_changed_since, agents_changed_since
from agents.services.presence import AgentTouch
from jobs.gateway.batch import TOUCH
from jobs.gateway.reader import Reader
from jobs.gateway.writer import BATCH_LIMIT, Writer
from kernel.clock import database_now
from kernel.errors import AppError, Unavailable
from kernel.failpoints import reach
from kernel.limits import Limit, RateLimiter

logger = logging.getLogger(__name__)

CACHE_LIMIT = 20_000
READ_EVERY_SECONDS = 0.5
BELIEVED_FOR_SECONDS = 1.0
# A change carries the time at which its transaction began, and is seen after its COMMIT. A transaction that took longer
# than the look-back is missed; so no entry is believed for longer than the age limit.
_LOOK_BACK = dt.timedelta(seconds=15)
_AGE_LIMIT_SECONDS = 60.0
_FORGET_ALL_AFTER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    limit: Limit | None
    loaded_at: float


class Callers:
    """The bounded cache of tokens. Its refreshing has a thread of its own: no queue of look-ups makes it late."""

    def __init__(self, reader: Reader, limiter: RateLimiter) -> None:
        self._reader = reader
        self._limiter = limiter
        self._change_reader = Reader(threads=1)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asked: dict[str, asyncio.Task[_Known]] = {}
        self._read_at = float("-inf")

    async def identify(self, token: str, *, address: str | None, by: float) -> Principal:
        """Return who calls with a well-formed token, until `by`, and count the call.

        Raises LimitExceeded where the address has tried too many unknown tokens (a cached token is not looked up), and
        for the call itself; Unauthorized, or Unavailable.
        """
        digest = tokens.digest(token)
        known = self._believed(digest)
        if known is None:
            known = await self._limiter.count_unknown(
                lambda: self._look_up(digest, lambda: credentials.identify(token), by), address=address
            )
        if known.limit is not None:
            await self._limiter.count(known.limit)
        return known.principal

    async def identify_again(self, principal: Principal, *, by: float) -> Principal:
        """Return a caller who has waited as they are now. Raises Unauthorized, or Unavailable."""
        known = self._believed(principal.digest) or await self._look_up(
            principal.digest, lambda: credentials.identify_again(principal), by
        )
        return known.principal

    async def run(self) -> None:
        """Read what changed, twice a second, until cancelled."""
        while True:
            reach("principals.before_read")
            try:
                began, changed = await self._change_reader.ask(_read_changed)
            except Unavailable:
                logger.warning("changes not read", extra={"action": "principals.stale"})
            else:
                self._forget(changed, began)
            await asyncio.sleep(READ_EVERY_SECONDS)

    def stop(self) -> None:
        """End the thread."""
        self._change_reader.stop()

    def _believed(self, digest: str) -> _Known | None:
        now = time.monotonic()
        known = self._known.get(digest)
        if known is None or now - self._read_at > BELIEVED_FOR_SECONDS or now - known.loaded_at > _AGE_LIMIT_SECONDS:
            return None
        self._known.move_to_end(digest)
        return known

    async def _look_up(self, digest: str, question: Callable[[], Principal], by: float) -> _Known:
        """Look a token up once, however many of its calls wait for it."""
        task = self._asked.get(digest)
        if task is None:
            task = asyncio.ensure_future(self._remember(digest, question, by))
            self._asked[digest] = task
            task.add_done_callback(lambda _: self._asked.pop(digest))
        return await asyncio.shield(task)

    async def _remember(self, digest: str, question: Callable[[], Principal], by: float) -> _Known:
        loaded_at = time.monotonic()
        principal = await self._reader.ask(question, by=by)
        known = _Known(principal, limit_on(principal), loaded_at)
        self._known[digest] = known
        if len(self._known) > CACHE_LIMIT:
            self._known.popitem(last=False)
        return known

    def _forget(self, changed: set[str], began: float) -> None:
        if began - self._read_at > _FORGET_ALL_AFTER_SECONDS:
            self._known.clear()
        elif changed:
            for digest, known in list(self._known.items()):
                if not changed.isdisjoint((digest, known.principal.owner_id, known.principal.agent_id)):
                    del self._known[digest]
        self._read_at = began


def _read_changed() -> tuple[float, set[str]]:
    """Return when the reading began, and token digests and ids of users and agents changed within the look-back."""
    began = time.monotonic()
    since = database_now() - _LOOK_BACK
    return began, {
        *user_tokens_changed_since(since),
        *users_changed_since(since),
        *agent_tokens_changed_since(since),
        *agents_changed_since(since),
    }


class Presence:
    """Gathers in the process which agents called, and writes it in batches.

    The sweep may have marked an agent offline that was silent for a third of the offline time or longer; so its next
    call is written before it is answered.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._gathered: dict[str, AgentTouch] = {}
        self._written_at: dict[str, float] = {}
        self._fresh_seconds = settings.OFFLINE_SECONDS / 3
        self._flush_seconds = min(10.0, settings.OFFLINE_SECONDS / 6)

    async def hear(self, touch: AgentTouch, *, by: float) -> None:
        """Record that an agent called. Raises Unavailable where that must be written at once and cannot be."""
        written_at = self._written_at.get(touch.agent_id)
        if written_at is not None and time.monotonic() - written_at < self._fresh_seconds:
            self._gathered[touch.agent_id] = touch
            return
        await self._writer.write(TOUCH, touch, by=by)
        self._written_at[touch.agent_id] = time.monotonic()

    async def run(self) -> None:
        """Write what gathered, every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(self._flush_seconds)
            reach("presence.before_flush")
            await self.flush()

    async def flush(self) -> None:
        """Write what gathered; what cannot be written is gathered again."""
        gathered, self._gathered = list(self._gathered.values()), {}
        for begin in range(0, len(gathered), BATCH_LIMIT):
            await self._write(gathered[begin : begin + BATCH_LIMIT])
        self._forget_silent_agents()

    async def _write(self, touches: Sequence[AgentTouch]) -> None:
        """Write at most a batch at a time, so that requests of people find room beside it."""
        writing = [self._writer.write(TOUCH, touch) for touch in touches]
        outcomes = await asyncio.gather(*writing, return_exceptions=True)
        for touch, outcome in zip(touches, outcomes, strict=True):
            if isinstance(outcome, AppError):
                self._gathered.setdefault(touch.agent_id, touch)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                self._written_at[touch.agent_id] = time.monotonic()

    def _forget_silent_agents(self) -> None:
        edge = time.monotonic() - self._fresh_seconds
        self._written_at = {agent_id: at for agent_id, at in self._written_at.items() if at > edge}
