"""Who was heard: gathered in the process, written in batches; a first word is written before it is answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from django.conf import settings

from agents.services.presence import AgentTouch
from jobs.gateway.writer import BATCH_LIMIT, Writer
from kernel.errors import AppError

logger = logging.getLogger(__name__)


class Presence:
    """Gathers touches. An agent silent for a third of the offline time may have been marked offline by another
    process's count, so its next word is written at once."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._gathered: dict[str, AgentTouch] = {}
        self._written_at: dict[str, float] = {}
        self._fresh_seconds = settings.OFFLINE_SECONDS / 3
        self._flush_seconds = min(10.0, settings.OFFLINE_SECONDS / 6)

    async def heard(self, touch: AgentTouch, *, by: float) -> None:
        """Note a word of an agent; raises Unavailable when a first word cannot be written."""
        written_at = self._written_at.get(touch.agent_id)
        if written_at is not None and time.monotonic() - written_at < self._fresh_seconds:
            self._gathered[touch.agent_id] = touch
            return
        await self._writer.touch(touch, by=by)
        self._written_at[touch.agent_id] = time.monotonic()

    async def run(self) -> None:
        """Write what gathered, every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(self._flush_seconds)
            await self.flush()

    async def flush(self) -> None:
        """Write what gathered; what cannot be written is gathered again."""
        gathered, self._gathered = list(self._gathered.values()), {}
        for begin in range(0, len(gathered), BATCH_LIMIT):
            await self._write(gathered[begin : begin + BATCH_LIMIT])
        self._forget_the_silent()

    async def _write(self, touches: Sequence[AgentTouch]) -> None:
        """Write no more than a batch at a time, so that people's requests find room beside it."""
        outcomes = await asyncio.gather(*map(self._writer.touch, touches), return_exceptions=True)
        for touch, outcome in zip(touches, outcomes, strict=True):
            if isinstance(outcome, AppError):
                self._gathered.setdefault(touch.agent_id, touch)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                self._written_at[touch.agent_id] = time.monotonic()

    def _forget_the_silent(self) -> None:
        edge = time.monotonic() - self._fresh_seconds
        self._written_at = {agent_id: at for agent_id, at in self._written_at.items() if at > edge}
