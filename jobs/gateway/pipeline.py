"""The gateway's backend: everything that one process needs for the hot calls, started and stopped together."""

from __future__ import annotations

import asyncio
import logging

from django.conf import settings

from jobs.gateway.callers import Callers, Presence
from jobs.gateway.reader import Reader
from jobs.gateway.redislink import RedisLink
from jobs.gateway.waiters import BellWaiters
from jobs.gateway.writer import Writer
from jobs.life.upkeep import beat_gateway_clock
from kernel.errors import Unavailable
from kernel.limits import RateLimiter
from kernel.loops import keep_running
from kernel.rediskeys import WAKE_CHANNEL

logger = logging.getLogger(__name__)


class Pipeline:
    """Implements `jobs.gateway.interface.Backend`: the methods that its parts have are theirs, without a layer."""

    def __init__(self) -> None:
        self.waiters = BellWaiters()
        self._redis = RedisLink(
            settings.REDIS_URL,
            channel=WAKE_CHANNEL,
            on_message=self.waiters.wake,
            on_connection=self.waiters.note_connection,
        )
        self._writer, self._reader = Writer(), Reader()
        self._callers = Callers(self._reader, RateLimiter(self._redis.count))
        self._presence = Presence(self._writer)
        self.write = self._writer.write
        self.put_back = self._writer.put_back
        self.read = self._reader.ask
        self.identify = self._callers.identify
        self.identify_again = self._callers.identify_again
        self.hear = self._presence.hear
        self.may_have_work = self._redis.take_flag
        self.flag_work = self._redis.set_flag
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start everything; the gateway's clock has beaten once when this returns."""
        self._writer.start()
        self.waiters.listen()
        await self._beat_clock()
        background = {
            "redis": self._redis.run,
            "principals": self._callers.run,
            "presence": self._presence.run,
            "clock": self._keep_clock_beating,
        }
        self._tasks = [asyncio.create_task(keep_running(name, run)) for name, run in background.items()]

    async def stop(self) -> None:
        """Stop everything; what was gathered is written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._presence.flush()
        await self._writer.stop()
        self._reader.stop()
        self._callers.stop()

    async def _keep_clock_beating(self) -> None:
        while True:
            await asyncio.sleep(min(10.0, settings.OFFLINE_SECONDS / 6, settings.OUTAGE_SECONDS / 3))
            await self._beat_clock()

    async def _beat_clock(self) -> None:
        try:
            await self._reader.ask(beat_gateway_clock)
        except Unavailable:
            logger.warning("clock not beaten", extra={"action": "gateway.clock"})
