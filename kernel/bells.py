"""Bells: wake-ups that may be lost. The row in the database is the truth; a bell only says that it has changed.

A service calls `ring(name, id)`. After COMMIT the bell enters a bounded queue, which one ringer thread per process
empties into the handlers registered for that name. The caller never waits for a handler. A full queue drops the bell,
and the sweep for lost bells rings it again. Apps register their handlers in `AppConfig.ready()`.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Sequence

from django.db import transaction

from kernel.failpoints import reach
from kernel.loops import start_thread

logger = logging.getLogger(__name__)

Handler = Callable[[Sequence[str]], None]

_QUEUE_LIMIT = 10_000
_BATCH_LIMIT = 500
_handlers: dict[str, list[Handler]] = {}


class Ringer:
    """The queue and its thread. One per process, started at the first bell (so also after a fork)."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[str, str]] = queue.Queue(_QUEUE_LIMIT)
        self._lock = threading.Lock()
        self._pid = 0
        self.dropped = 0

    def put(self, name: str, subject_id: str) -> None:
        """Queue one bell, or drop it when the queue is full."""
        reach("bell.before_queue")
        if self._pid != os.getpid():
            self._start()
        try:
            self._queue.put_nowait((name, subject_id))
        except queue.Full:
            self.dropped += 1

    def wait_until_empty(self) -> None:
        """Block until every queued bell was handed over (tests and orderly stops)."""
        self._queue.join()

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            self._queue = queue.Queue(_QUEUE_LIMIT)
            self._pid = os.getpid()
            start_thread("ringer", self._ring_next)

    def _ring_next(self) -> bool:
        """Hand over what is queued, at least one bell. The turn of the thread."""
        batch = [self._queue.get()]
        try:
            while len(batch) < _BATCH_LIMIT:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            reach("ringer.after_take")
            subjects: dict[str, dict[str, None]] = {}
            for name, subject_id in batch:
                subjects.setdefault(name, {})[subject_id] = None
            for name, ids in subjects.items():
                reach("bell.before_handlers")
                self._hand_over(name, list(ids))
                reach("bell.after_handlers")
        finally:
            for _ in batch:
                self._queue.task_done()
        return True

    @staticmethod
    def _hand_over(name: str, ids: Sequence[str]) -> None:
        for handler in _handlers[name]:
            try:
                handler(ids)
            except Exception as error:
                # The top of the ringer's loop: a lost bell delays work, and the sweep finds it.
                logger.warning("bell lost", extra={"action": "bell.lost", "bell": name, "error": type(error).__name__})


ringer = Ringer()


def register(name: str, handler: Handler, *, first: bool = False) -> None:
    """Let `handler` take the ids rung under `name`, before the others if `first`. Called in `AppConfig.ready()`."""
    handlers = _handlers.setdefault(name, [])
    handlers.insert(0 if first else len(handlers), handler)


def ring(name: str, subject_id: str) -> None:
    """Ring after the current transaction commits; at once when there is none. Unknown names raise KeyError."""
    if name not in _handlers:
        raise KeyError(f"no handler is registered for the bell {name!r}")
    transaction.on_commit(lambda: ringer.put(name, subject_id))
