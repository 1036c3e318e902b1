"""The writer: one thread, one connection, one transaction for whatever gathered while the last one committed.

Requests put items in and wait; the thread takes what is there, runs the batch-first services on it, commits, and
answers them all. No timer: under load the batches grow by themselves. See docs/architecture.md for its rules.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

from agents.services.presence import AgentTouch
from jobs.gateway.batch import Value, serve
from jobs.life.beat import Beat
from jobs.life.claim import Claim, PutBack
from jobs.life.report import Report
from jobs.life.submit import Submission
from jobs.models import Job
from jobs.queues.pull import Pull
from kernel.connections import give_up_within
from kernel.errors import AppError, Unavailable
from kernel.failpoints import reach

ANSWER_WITHIN_SECONDS = 2
"""Old clients give up after three seconds; whoever cannot be served within two is told so."""

BATCH_LIMIT = 256
BATCH_BYTES = 4 * 1024 * 1024  # a packet of 16 MiB holds it even if every byte must be escaped
QUEUE_LIMIT = 4096
QUEUE_BYTES = 64 * 1024 * 1024
_TRY_AGAIN_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Item:
    """Something to write, and who waits for it until when (monotonic)."""

    value: Value
    future: asyncio.Future[Any]
    answer_by: float
    size_bytes: int
    tried: bool = False

    @property
    def is_worth_serving(self) -> bool:
        """Whether it is still to be written. A report is, whoever waits for it: old agents say it only once."""
        if isinstance(self.value, Report | PutBack):
            return True
        return time.monotonic() < self.answer_by and not self.future.done()


class Writer:
    """Queue and thread. Awaited on the loop that called `start`; `by` is the monotonic time until which to answer."""

    def __init__(self) -> None:
        self._queue: deque[Item] = deque()
        self._queued_bytes = 0
        self._filled = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Start the thread; the running loop is the one whose futures it resolves."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Let the thread finish what is queued, then end it."""
        with self._filled:
            self._stopping = True
            self._filled.notify()
        await asyncio.to_thread(self._thread.join, ANSWER_WITHIN_SECONDS)
        if self._queue and not self._thread.is_alive():
            # The last outcomes may have asked for a put-back after the thread had looked for the last time.
            await asyncio.to_thread(self._run)

    async def submit(self, submission: Submission, *, by: float | None = None) -> Job:
        """Store a job; return after COMMIT. Raises what `submit_jobs` returns for it, or Unavailable."""
        job: Job = await self._put(submission, by)
        return job

    async def claim(self, claim: Claim, *, by: float | None = None) -> Job | None:
        """Take the agent's next job; return it after COMMIT. A claim that nobody hears of is put back."""
        job: Job | None = await self._put(claim, by)
        return job

    async def pull(self, pull: Pull, *, by: float | None = None) -> Job | None:
        """Take the next job of a queue; return it after COMMIT. A pull that nobody hears of is put back."""
        job: Job | None = await self._put(pull, by)
        return job

    async def report(self, report: Report, *, by: float | None = None) -> None:
        """Take a report; return after COMMIT. Raises what `report_jobs` returns for it, or Unavailable."""
        await self._put(report, by)

    async def beat(self, beat: Beat, *, by: float | None = None) -> list[str]:
        """Renew leases; return the ids of jobs to be ended, after COMMIT."""
        ids: list[str] = await self._put(beat, by)
        return ids

    async def touch(self, touch: AgentTouch, *, by: float | None = None) -> None:
        """Write that an agent was heard; return after COMMIT."""
        await self._put(touch, by)

    def put_back(self, returned: PutBack) -> None:
        """Give back a job whose answer never left. Nobody waits for it; it is tried until the database answers."""
        reach("put_back.before_queue")
        with self._filled:
            self._queue.append(Item(returned, self._loop.create_future(), 0.0, 0))
            self._filled.notify()
        reach("put_back.after_queue")

    async def _put(self, value: Value, by: float | None) -> Any:
        answer_by = time.monotonic() + ANSWER_WITHIN_SECONDS if by is None else by
        item = Item(value, self._loop.create_future(), answer_by, _size(value))
        self._enqueue(item)
        try:
            await asyncio.wait((item.future,), timeout=max(0.0, answer_by - time.monotonic()))
        finally:
            if not item.future.done():
                item.future.cancel()
        if item.future.cancelled():
            raise Unavailable
        outcome = item.future.result()
        if isinstance(outcome, AppError):
            raise outcome
        return outcome

    def _enqueue(self, item: Item) -> None:
        with self._filled:
            full = len(self._queue) >= QUEUE_LIMIT or self._queued_bytes + item.size_bytes > QUEUE_BYTES
            if full or self._stopping:
                raise Unavailable
            self._queue.append(item)
            self._queued_bytes += item.size_bytes
            self._filled.notify()

    def _run(self) -> None:
        give_up_within(ANSWER_WITHIN_SECONDS)
        while items := self._take():
            for outcomes in serve(items):
                self._loop.call_soon_threadsafe(self._resolve, outcomes)
        connection.close()

    def _take(self) -> list[Item]:
        """Wait for items; return a batch of them in their order, or none at the end."""
        with self._filled:
            while not self._queue and not self._stopping:
                self._filled.wait()
            items: list[Item] = []
            size = 0
            while self._queue and len(items) < BATCH_LIMIT:
                size += self._queue[0].size_bytes
                if items and size > BATCH_BYTES:
                    break
                items.append(self._queue.popleft())
            self._queued_bytes -= sum(item.size_bytes for item in items)
            return items

    def _resolve(self, outcomes: Mapping[Item, object]) -> None:
        for item, outcome in outcomes.items():
            heard = not item.future.done()
            if heard:
                item.future.set_result(outcome)
            unsure = isinstance(outcome, Unavailable) and item.tried
            if isinstance(item.value, Claim | Pull) and (unsure or (isinstance(outcome, Job) and not heard)):
                # Nobody hears of this claim, or its COMMIT may have gone through unheard.
                self.put_back(PutBack(request_id=item.value.request_id))
            elif isinstance(item.value, PutBack) and unsure:
                self._loop.call_later(_TRY_AGAIN_SECONDS, self.put_back, item.value)


def _size(value: Value) -> int:
    if not isinstance(value, Report):
        return 0
    text = value.output.text
    return len(text) if text.isascii() else len(text.encode())
