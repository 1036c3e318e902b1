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
# A change carries the time at which its transaction began; none lasts longer than this before its COMMIT is seen.
_LOOK_BACK = dt.timedelta(seconds=15)
_FORGET_ALL_AFTER_SECONDS = 10.0


class Principals:
    """The bounded cache and its refreshing."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: OrderedDict[str, Principal] = OrderedDict()
        self._read_at = float("-inf")

    async def identify(self, token: str) -> Principal:
        """Return who calls with a well-formed token. Raises Unauthorized, or Unavailable."""
        known = self._remembered(tokens.digest(token))
        return known or self._remember(await self._reader.ask(lambda: credentials.identify(token)))

    async def identify_again(self, principal: Principal) -> Principal:
        """Return a caller who has waited as they are now. Raises Unauthorized, or Unavailable."""
        known = self._remembered(principal.digest)
        return known or self._remember(await self._reader.ask(lambda: credentials.identify_again(principal)))

    def _remembered(self, token_digest: str) -> Principal | None:
        known = self._known.get(token_digest)
        if known is None or time.monotonic() - self._read_at > BELIEVED_FOR_SECONDS:
            return None
        self._known.move_to_end(token_digest)
        return known

    def _remember(self, principal: Principal) -> Principal:
        self._known[principal.digest] = principal
        if len(self._known) > CACHE_LIMIT:
            self._known.popitem(last=False)
        return principal

    async def run(self) -> None:
        """Read what changed, twice a second, until cancelled."""
        while True:
            began = time.monotonic()
            try:
                changed = await self._reader.ask(_changed_lately)
            except Unavailable:
                logger.warning("changes not read", extra={"action": "principals.stale"})
            else:
                self._forget(changed, began)
            await asyncio.sleep(READ_EVERY_SECONDS)

    def _forget(self, changed: set[str], began: float) -> None:
        if began - self._read_at > _FORGET_ALL_AFTER_SECONDS:
            self._known.clear()
        elif changed:
            for token_digest, principal in list(self._known.items()):
                if not changed.isdisjoint((token_digest, principal.owner_id, principal.agent_id)):
                    del self._known[token_digest]
        self._read_at = began


def _changed_lately() -> set[str]:
    """Return token digests and ids of users and agents that changed within the look-back."""
    since = database_now() - _LOOK_BACK
    return {
        *user_tokens_changed_since(since),
        *users_changed_since(since),
        *agent_tokens_changed_since(since),
        *agents_changed_since(since),
    }
