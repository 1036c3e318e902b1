"""What one gateway process is made of, started and stopped together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from django.conf import settings

from jobs.gateway.limits import Limits
from jobs.gateway.presence import Presence
from jobs.gateway.principals import Principals
from jobs.gateway.reader import Reader
from jobs.gateway.redislink import RedisLink
from jobs.gateway.waiters import Waiters
from jobs.gateway.writer import Writer
from jobs.life.upkeep import beat_gateway_clock
from kernel import bells
from kernel.errors import Unavailable
from kernel.rediskeys import WAKE_CHANNEL

logger = logging.getLogger(__name__)


class Parts:
    """Writer, reader, caches, waiters, Redis link and their background tasks."""

    def __init__(self) -> None:
        self.writer = Writer()
        self.reader = Reader()
        self.waiters = Waiters()
        self.principals = Principals(self.reader)
        self.presence = Presence(self.writer)
        self.redis = RedisLink(
            settings.REDIS_URL,
            channel=WAKE_CHANNEL,
            on_message=self.waiters.wake,
            on_connected=self.waiters.wake_all,
        )
        self.limits = Limits(self.redis, self.principals)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start everything; the clock has beaten once when this returns."""
        self._loop = asyncio.get_running_loop()
        self.writer.start()
        bells.register("agent", self._wake_agents, first=True)
        bells.register("job", self._wake_jobs, first=True)
        bells.register("beat", self._wake_beats, first=True)
        bells.register("queue", self._wake_pullers, first=True)
        await self._beat_clock()
        for run in (self.redis.run, self.principals.run, self.presence.run, self._beat_clock_often):
            self._tasks.append(asyncio.create_task(_watched(run)))

    async def stop(self) -> None:
        """Stop everything; what was gathered is written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.presence.flush()
        await self.writer.stop()
        self.reader.stop()
        self.principals.stop()

    def _wake_agents(self, ids: Sequence[str]) -> None:
        """Bell from this process: wakes its own waiters even while Redis is away."""
        self._wake_each("agent", ids)

    def _wake_jobs(self, ids: Sequence[str]) -> None:
        self._wake_each("job", ids)

    def _wake_beats(self, ids: Sequence[str]) -> None:
        self._wake_each("beat", ids)

    def _wake_pullers(self, ids: Sequence[str]) -> None:
        self._wake_each("queue", ids)

    def _wake_each(self, kind: str, ids: Sequence[str]) -> None:
        if not self._loop.is_closed():
            for subject_id in ids:
                self._loop.call_soon_threadsafe(self.waiters.wake, f"{kind} {subject_id}")

    async def _beat_clock_often(self) -> None:
        while True:
            await asyncio.sleep(min(10.0, settings.OFFLINE_SECONDS / 6, settings.OUTAGE_SECONDS / 3))
            await self._beat_clock()

    async def _beat_clock(self) -> None:
        try:
            await self.reader.ask(beat_gateway_clock)
        except Unavailable:
            logger.warning("clock not beaten", extra={"action": "gateway.clock"})


async def _watched(run: Callable[[], Awaitable[None]]) -> None:
    """Run a background task for ever: a bug in it is logged at once, and it begins again."""
    while True:
        try:
            await run()
        except Exception:
            logger.exception("background task broke", extra={"action": "gateway.bug", "task": repr(run)})
            await asyncio.sleep(1)
