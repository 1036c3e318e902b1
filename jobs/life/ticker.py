"""Whether what is due may start: not while staff hold the ticker, and not right after the clock has jumped.

Due scans ask `due_time`, which gives back the time by which they decide, or None: start nothing now.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable

from jobs.models import Ticker
from kernel.clock import database_now
from kernel.hostclock import steady_ns
from kernel.transactions import named_transaction

logger = logging.getLogger(__name__)

_JUMP = dt.timedelta(seconds=30)
_PAUSE_SECONDS = 60.0


def _steady_seconds() -> float:
    return steady_ns() / 1e9


class ClockGuard:
    """Compares the deciding clock with one that cannot be set. One per process; what it saw before is its yardstick.

    A difference of more than 30 s since the last look is a jump. For 60 s the new time is not believed, so that a clock
    that is set right again has started nothing; then it is.
    """

    def __init__(self, steady: Callable[[], float] = _steady_seconds) -> None:
        self._steady = steady
        self._lock = threading.Lock()
        self._last: tuple[dt.datetime, float] | None = None
        self._doubted_until = 0.0

    def believes(self, now: dt.datetime) -> bool:
        """Tell whether `now` may decide what is due."""
        steady = self._steady()
        with self._lock:
            last, self._last = self._last, (now, steady)
            if last is not None:
                jumped = (now - last[0]) - dt.timedelta(seconds=steady - last[1])
                if abs(jumped) > _JUMP:
                    self._doubted_until = steady + _PAUSE_SECONDS
                    logger.warning(
                        "clock jumped", extra={"action": "clock.jump", "seconds": round(jumped.total_seconds())}
                    )
            return steady >= self._doubted_until


guard = ClockGuard()


def is_held() -> bool:
    """Tell whether staff hold the ticker, as after a backup was restored. One query."""
    return Ticker.objects.filter(pk=1, held_at__isnull=False).exists()


def due_time(now: dt.datetime) -> dt.datetime | None:
    """Return `now`, the database's time, if what is due by it may start; None: start nothing. One query."""
    return now if guard.believes(now) and not is_held() else None


def hold_ticker(*, backup_at: dt.datetime, now: dt.datetime | None = None) -> None:
    """Let nothing that is due start until `let_ticker_run`. `backup_at`: when the restored backup was taken."""
    _set(held_at=now or database_now(), backup_at=backup_at)


def let_ticker_run() -> None:
    """Let the due scans start what is due again."""
    _set(held_at=None, backup_at=None)


def _set(**values: dt.datetime | None) -> None:
    with named_transaction("ticker"):
        Ticker.objects.update_or_create(pk=1, defaults=values)
