"""Token -> who calls, from memory where that is safe.

Entries stay until they are pushed out or their token, agent or user changes. Each process reads what changed in the
last seconds twice a second; when that reading is more than a second old, memory is not believed and the database is
asked; when it does not answer either, that is our fault (503) and never the caller's (401).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

from accounts import credentials, tokens
from accounts.credentials import Principal
from accounts.identity import user_tokens_changed_since, users_changed_since
from agents.identity import agent_tokens_changed_since, agents_changed_since
from jobs.gateway.reader import Reader
from kernel.clock import database_now
from kernel.errors import Unavailable

logger = logging.getLogger(__name__)

CACHE_LIMIT = 20_000
READ_EVERY_SECONDS = 0.5
BELIEVED_FOR_SECONDS = 1.0
# A change carries the time at which its transaction began, and is seen at its COMMIT. One that took longer than the
# look-back is missed; so nothing is believed for longer than the age limit, whatever was read.
_LOOK_BACK = dt.timedelta(seconds=15)
_AGE_LIMIT_SECONDS = 60.0
_FORGET_ALL_AFTER_SECONDS = 10.0


class Principals:
    """The bounded cache and its refreshing, which has a thread of its own: no queue of look-ups makes it late."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._watcher = Reader(threads=1)
        self._known: OrderedDict[str, tuple[Principal, float]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Principal]] = {}
        self._read_at = float("-inf")

    def remembered(self, token: str) -> Principal | None:
        """Return who calls with a token that memory knows and may be believed about, else None."""
        return self._remembered(tokens.digest(token))

    async def identify(self, token: str, *, by: float) -> Principal:
        """Return who calls with a well-formed token, until `by`. Raises Unauthorized, or Unavailable."""
        token_digest = tokens.digest(token)
        return self._remembered(token_digest) or await self._ask(token_digest, lambda: credentials.identify(token), by)

    async def identify_again(self, principal: Principal, *, by: float) -> Principal:
        """Return a caller who has waited as they are now. Raises Unauthorized, or Unavailable."""
        return self._remembered(principal.digest) or await self._ask(
            principal.digest, lambda: credentials.identify_again(principal), by
        )

    async def run(self) -> None:
        """Read what changed, twice a second, until cancelled."""
        while True:
            try:
                began, changed = await self._watcher.ask(_changed_lately)
            except Unavailable:
                logger.warning("changes not read", extra={"action": "principals.stale"})
            else:
                self._forget(changed, began)
            await asyncio.sleep(READ_EVERY_SECONDS)

    def stop(self) -> None:
        """End the thread."""
        self._watcher.stop()

    def _remembered(self, token_digest: str) -> Principal | None:
        now = time.monotonic()
        principal, loaded_at = self._known.get(token_digest, (None, 0.0))
        if principal is None or now - self._read_at > BELIEVED_FOR_SECONDS or now - loaded_at > _AGE_LIMIT_SECONDS:
            return None
        self._known.move_to_end(token_digest)
        return principal

    async def _ask(self, token_digest: str, question: Callable[[], Principal], by: float) -> Principal:
        """Look up once, however many calls of one token wait for it."""
        task = self._asked.get(token_digest)
        if task is None:
            task = asyncio.ensure_future(self._reader.ask(question, by=by))
            self._asked[token_digest] = task
            task.add_done_callback(lambda _: self._asked.pop(token_digest))
        loaded_at = time.monotonic()
        principal = await asyncio.shield(task)
        self._known[token_digest] = (principal, loaded_at)
        if len(self._known) > CACHE_LIMIT:
            self._known.popitem(last=False)
        return principal

    def _forget(self, changed: set[str], began: float) -> None:
        if began - self._read_at > _FORGET_ALL_AFTER_SECONDS:
            self._known.clear()
        elif changed:
            for token_digest, (principal, _) in list(self._known.items()):
                if not changed.isdisjoint((token_digest, principal.owner_id, principal.agent_id)):
                    del self._known[token_digest]
        self._read_at = began


def _changed_lately() -> tuple[float, set[str]]:
    """Return when the reading began, and token digests and ids of users and agents changed within the look-back."""
    began = time.monotonic()
    since = database_now() - _LOOK_BACK
    return began, {
        *user_tokens_changed_since(since),
        *users_changed_since(since),
        *agent_tokens_changed_since(since),
        *agents_changed_since(since),
    }
