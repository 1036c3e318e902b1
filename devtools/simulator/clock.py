"""Two times: the platforms' own, which tests move, and the real one.

Virtual: age of tokens, windows of 48 hours, quotas of a day, QR codes. Real: the 5-second timer, and every timestamp in
a signature, because the product at the other end has only the real time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_BEIJING = timedelta(hours=8)


@dataclass(slots=True)
class Clock:
    """The platforms' time: the real one plus the seconds that tests added. A stopped clock moves only by those."""

    ahead_seconds: float = 0.0
    stopped_at: float | None = None

    def now(self) -> float:
        """Virtual seconds since 1970."""
        return (time.time() if self.stopped_at is None else self.stopped_at) + self.ahead_seconds

    def stop(self) -> None:
        """Stop the clock, so that a limit per second does not depend on the speed of the machine."""
        self.stopped_at = time.time()

    def advance(self, seconds: float) -> None:
        """Move forward. Raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError("time does not run back")
        self.ahead_seconds += seconds

    def day(self) -> str:
        """Return the platforms' calendar day; their daily quotas are reset at midnight in Beijing."""
        return (datetime.fromtimestamp(self.now(), UTC) + _BEIJING).strftime("%Y-%m-%d")

    def month(self) -> str:
        """Return the calendar month, for monthly quotas."""
        return self.day()[:7]

    def until_tomorrow(self) -> float:
        """Virtual time of the next midnight in Beijing."""
        local = datetime.fromtimestamp(self.now(), UTC) + _BEIJING
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return (midnight - _BEIJING).timestamp()


@dataclass(slots=True)
class Pace:
    """A rate limit: at most `number` calls with the same key in any `seconds`."""

    clock: Clock
    number: int
    seconds: float
    _calls: dict[str, list[float]]

    @classmethod
    def of(cls, clock: Clock, number: int, seconds: float) -> Pace:
        """An empty count."""
        return cls(clock, number, seconds, {})

    def take(self, key: str) -> float:
        """Count one call and return 0, or return the seconds to wait without counting it."""
        now = self.clock.now()
        calls = [at for at in self._calls.get(key, []) if at > now - self.seconds]
        self._calls[key] = calls
        if len(calls) >= self.number:
            return calls[0] + self.seconds - now
        calls.append(now)
        return 0.0
