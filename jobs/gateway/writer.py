"""The writer: one thread, one connection, one transaction for whatever gathered while the last one committed.

Callers put writes into a queue and wait; the thread takes what is there, runs the batch services on it, commits, and
resolves the futures of the callers. No timer: under load the batches grow by themselves.

A claim (or pull) hands out a job, and the answer may not reach its caller. The writer then acts by this table:

| outcome | caller | job | writer |
|---|---|---|---|
| a job | still waits | sent, and its caller knows | does nothing more |
| a job | gave up or hung up | sent, and no agent knows | puts it back |
| None | any | there is none | does nothing more |
| Unavailable, never attempted | got 503 | untouched | does nothing more |
| Unavailable, attempted | got 503 | sent, if the COMMIT went through | puts it back, if it is sent |

Example: a claim is committed and the connection breaks before the answer to COMMIT. The outcome is Unavailable, the
caller gets 503. The put-back finds the claim's event by its request id: the job was sent by this very claim and has not
moved since, so it waits again. Had the COMMIT failed, there would be no such event, and the put-back would do nothing.
A put-back that is itself Unavailable is tried again until the database answers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import TypeVar

from django.db import connection

from jobs.gateway.batch import PUT_BACK, Write, WriteKind, serve
from jobs.life.claim import PutBack
from jobs.models import Job
from kernel.connections import give_up_within
from kernel.errors import AppError, Unavailable
from kernel.failpoints import reach
from kernel.loops import start_thread

logger = logging.getLogger(__name__)

ANSWER_WITHIN_SECONDS = 2
"""Old clients give up after three seconds; a call that cannot be served within two is answered 503."""

BATCH_LIMIT = 256
BATCH_BYTES = 4 * 1024 * 1024  # a packet of 16 MiB holds it even if every byte must be escaped
QUEUE_LIMIT = 4096
QUEUE_BYTES = 64 * 1024 * 1024
_RETRY_SECONDS = 1.0

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")


class Writer:
    """The queue and its thread. Methods are called on the loop that called `start`."""

    def __init__(self) -> None:
        self._queue: deque[Write] = deque()
        self._queued_bytes = 0
        self._filled = threading.Condition()
        self._stopping = False

    def start(self) -> None:
        """Start the thread; the running loop is the one whose futures it resolves."""
        self._loop = asyncio.get_running_loop()
        self._thread = start_thread("writer", self._serve_next, prepare=partial(give_up_within, ANSWER_WITHIN_SECONDS))

    async def stop(self) -> None:
        """Let the thread finish what is queued, then end it."""
        with self._filled:
            self._stopping = True
            self._filled.notify()
        await asyncio.to_thread(self._thread.join, ANSWER_WITHIN_SECONDS)
        if self._queue and not self._thread.is_alive():
            # The last outcomes may have asked for a put-back after the thread had looked for the last time.
            await asyncio.to_thread(self._serve_rest)

    async def write(self, kind: WriteKind[Request, Outcome], request: Request, *, by: float | None = None) -> Outcome:
        """Return what the kind's service returned for the request, after COMMIT; raise it if it is an AppError.

        Raises Unavailable at the monotonic time `by`, two seconds from now without it, and where the queue is full.
        """
        answer_by = time.monotonic() + ANSWER_WITHIN_SECONDS if by is None else by
        write = Write(kind, request, self._loop.create_future(), answer_by, kind.size_bytes(request))
        self._enqueue(write)
        try:
            await asyncio.wait((write.future,), timeout=max(0.0, answer_by - time.monotonic()))
        finally:
            if not write.future.done():
                write.future.cancel()
        if write.future.cancelled():
            raise Unavailable
        outcome: Outcome | AppError = write.future.result()
        if isinstance(outcome, AppError):
            raise outcome
        return outcome

    def put_back(self, returned: PutBack) -> None:
        """Let a job wait again whose answer did not leave. Tried until the database answers."""
        reach("put_back.before_queue")
        with self._filled:
            self._queue.append(Write(PUT_BACK, returned, self._loop.create_future(), 0.0))
            self._filled.notify()
        reach("put_back.after_queue")

    def _enqueue(self, write: Write) -> None:
        with self._filled:
            full = len(self._queue) >= QUEUE_LIMIT or self._queued_bytes + write.size_bytes > QUEUE_BYTES
            if full or self._stopping:
                raise Unavailable
            self._queue.append(write)
            self._queued_bytes += write.size_bytes
            self._filled.notify()

    def _serve_next(self) -> bool:
        """Serve one batch; return whether there will be another. The turn of the thread."""
        writes = self._take()
        if not writes:
            connection.close()
            return False
        unanswered = dict.fromkeys(writes)
        try:
            reach("writer.after_take")
            for outcomes in serve(writes):
                reach("writer.before_answers")
                self._loop.call_soon_threadsafe(self._answer, outcomes)
                for write in outcomes:
                    del unanswered[write]
        finally:
            if unanswered:
                # An error outside the batch's own handling: what it did to the database is not known.
                connection.close()
                self._loop.call_soon_threadsafe(self._answer, {write: Unavailable() for write in unanswered})
        return True

    def _serve_rest(self) -> None:
        give_up_within(ANSWER_WITHIN_SECONDS)
        while self._serve_next():
            pass

    def _take(self) -> list[Write]:
        """Wait for writes; return a batch of them in their order, or none at the end."""
        with self._filled:
            while not self._queue and not self._stopping:
                self._filled.wait()
            writes: list[Write] = []
            size = 0
            while self._queue and len(writes) < BATCH_LIMIT:
                size += self._queue[0].size_bytes
                if writes and size > BATCH_BYTES:
                    break
                writes.append(self._queue.popleft())
            self._queued_bytes -= sum(write.size_bytes for write in writes)
            return writes

    def _answer(self, outcomes: Mapping[Write, object]) -> None:
        """Resolve the callers' futures; runs on the loop."""
        for write, outcome in outcomes.items():
            try:
                self._answer_one(write, outcome)
            except Exception:
                # One caller's fault must not cost the others of the batch their answers.
                logger.exception("answer lost", extra={"action": "writer.bug", "request": type(write.request).__name__})
                if write.kind.hands_out_job and not write.future.done():
                    self.put_back(PutBack(request_id=write.request.request_id))
                write.future.cancel()

    def _answer_one(self, write: Write, outcome: object) -> None:
        reach("writer.before_answer")
        heard = not write.future.done()
        if heard:
            write.future.set_result(outcome)
        is_unsure = isinstance(outcome, Unavailable) and write.attempted
        if write.kind.hands_out_job and (is_unsure or (isinstance(outcome, Job) and not heard)):
            self.put_back(PutBack(request_id=write.request.request_id))
        elif write.kind is PUT_BACK and is_unsure:
            self._loop.call_later(_RETRY_SECONDS, self.put_back, write.request)
