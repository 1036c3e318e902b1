"""The base of every Celery task: it drops a stale tick, and notes work that was done.

`progress` is shared by a worker's main process and its children, so the watchdog in the first sees the work of all.
"""

from __future__ import annotations

import datetime as dt
import logging
import mmap
import struct
import time
from typing import Any

from celery import Task

from kernel.clock import database_now

logger = logging.getLogger(__name__)

STALE_AT = "stale_at"
"""The header of a tick: the database's time from which it is not worth its work."""


class Progress:
    """When a task last did its work, and when one was last dropped: monotonic seconds, 0 for never.

    In memory that children share. Monotonic time is one clock for all processes of a host.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)

    def note_worked(self) -> None:
        """Note that a task has done its work."""
        struct.pack_into("d", self._memory, 0, time.monotonic())

    def note_dropped(self) -> None:
        """Note that a tick was dropped."""
        struct.pack_into("d", self._memory, 8, time.monotonic())

    @property
    def worked_at(self) -> float:
        """Return when a task last did its work."""
        return float(struct.unpack_from("d", self._memory, 0)[0])

    def worked_ago(self) -> float | None:
        """Return how many seconds ago a task last did its work; None: never."""
        return time.monotonic() - self.worked_at if self.worked_at else None

    @property
    def dropped_at(self) -> float:
        """Return when a tick was last dropped."""
        return float(struct.unpack_from("d", self._memory, 8)[0])


progress = Progress()


class Tick(Task):  # type: ignore[type-arg]  # not subscriptable at run time
    """The base of all tasks."""

    abstract = True
    _dropped = 0

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Do the work, unless the database's clock says that this tick is stale."""
        stale_at = (self.request.headers or {}).get(STALE_AT)
        if stale_at is not None and database_now() >= dt.datetime.fromisoformat(stale_at):
            self._note_dropped(stale_at)
            return None
        done = super().__call__(*args, **named)
        Tick._dropped = 0
        progress.note_worked()
        return done

    def _note_dropped(self, stale_at: str) -> None:
        """Log the first of a row of stale ticks: a worker that comes back may find hundreds."""
        progress.note_dropped()
        Tick._dropped += 1
        if Tick._dropped == 1:
            logger.warning(
                "stale tick dropped", extra={"action": "tick.stale", "tick": self.name, "stale_at": stale_at}
            )
