"""Celery's beat without a wall clock: ticks are paced by the time since boot, and the database's clock ends them.

The library paces ticks by the wall clock, so a clock that was set back by an hour would give no tick for an hour; and
it lets the worker's wall clock decide whether a tick of beat's wall clock has expired.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Any

from celery.beat import Service
from celery.signals import beat_init
from django.db import DatabaseError, close_old_connections
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from kernel.clock import approximate_now, database_now, rfc3339
from kernel.hostclock import steady_ns
from letserver.ticks import STALE_AT

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Beat sends no tick while this many messages wait in the queue: without a worker, ticks would fill the broker."""

_LOOK_EVERY_SECONDS = 1.0

_began = (approximate_now(), steady_ns())


def paced_now() -> dt.datetime:
    """Return the time by which ticks are paced: the wall clock's at the start of beat, carried on by a steady clock."""
    began, steady = _began
    return began + dt.timedelta(microseconds=(steady_ns() - steady) // 1000)


class TickEntry(ModelEntry):  # type: ignore[misc]  # the library has no types
    """A row of the table of periodic tasks. Celery does not get its `expires`: `TickScheduler` sends it as a header."""

    last_run_at: dt.datetime

    def __init__(self, model: PeriodicTask, app: Any = None) -> None:
        super().__init__(model, app=app)
        self.schedule.nowfun = paced_now
        self.expires: dt.datetime | int | None = self.options.pop("expires", None)
        # A last run in the future was written by a clock that ran ahead: it would silence the entry until then.
        now = paced_now()
        if self.last_run_at > now:
            self.last_run_at = model.last_run_at = now

    def _default_now(self) -> dt.datetime:
        return paced_now()


class TickScheduler(DatabaseScheduler):  # type: ignore[misc]
    """The scheduler of `celery beat`, named by CELERY_BEAT_SCHEDULER."""

    Entry = TickEntry

    def __init__(self, *args: Any, **more: Any) -> None:
        self._waiting: dict[str, tuple[float, int]] = {}
        super().__init__(*args, **more)

    def apply_async(self, entry: TickEntry, producer: Any = None, advance: bool = True, **more: Any) -> Any:
        """Send a tick with the time, by the database's clock, from which it is stale. Without a database: send none."""
        if self._is_full(entry):
            logger.warning("too many ticks wait, none is sent", extra={"action": "tick.full", "tick": entry.name})
            return None
        try:
            stale_at = _stale_at(entry.expires)
        except DatabaseError as error:
            logger.warning("tick not sent", extra={"action": "tick.no_database", "error": type(error).__name__})
            close_old_connections()
            return None
        headers = {**entry.options.get("headers", {}), STALE_AT: rfc3339(stale_at)}
        entry.options = {**entry.options, "headers": headers}
        return super().apply_async(entry, producer=producer, advance=advance, **more)

    def _is_full(self, entry: TickEntry) -> bool:
        queue = entry.options.get("queue") or self.app.conf.task_default_queue
        looked_at, waiting = self._waiting.get(queue, (float("-inf"), 0))
        if time.monotonic() - looked_at >= _LOOK_EVERY_SECONDS:
            waiting = self._count_waiting(queue)
            self._waiting[queue] = (time.monotonic(), waiting)
        return waiting >= MOST_WAITING

    def _count_waiting(self, queue: str) -> int:
        """Return how many messages wait; 0 without a broker, because sending says what is wrong.

        The connection is a new one. The producer's channel is dead after the broker was away, and only sending
        revives it: until then, every question on it fails.
        """
        try:
            with self.app.connection_for_write() as connection, connection.channel() as channel:
                count: int = channel.queue_declare(queue=queue).message_count
                return count
        except (OSError, RedisError, KombuError):
            return 0


def _stale_at(expires: dt.datetime | int | None) -> dt.datetime | None:
    if expires is None or isinstance(expires, dt.datetime):
        return expires
    return database_now() + dt.timedelta(seconds=expires)


@beat_init.connect
def refuse_other_schedulers(sender: Service, **_: Any) -> None:
    """End a beat that was started with another scheduler, as by `-S django` of an older unit."""
    # The class may still be a name here; the scheduler itself is what beat is about to use.
    if not isinstance(sender.scheduler, TickScheduler):
        raise SystemExit("Start beat without -S: its scheduler is CELERY_BEAT_SCHEDULER, letserver.beat:TickScheduler.")
