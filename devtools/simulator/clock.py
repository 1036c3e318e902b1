"""Two times: the platforms' own, which tests move, and the real one.

Virtual: age of tokens, windows of 48 hours, quotas of a day, QR codes. Real: the 5-second timer, and every time that
stands in a signature, because the product at the other end has only the real one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_BEIJING = timedelta(hours=8)


@dataclass(slots=True)
class Clock:
    """The platforms' time: the real one plus what tests advanced it by; or standing still but for that."""

    ahead_seconds: float = 0.0
    stopped_at: float | None = None

    def now(self) -> float:
        """Virtual seconds since 1970."""
        return (time.time() if self.stopped_at is None else self.stopped_at) + self.ahead_seconds

    def stop(self) -> None:
        """Stand still: what is allowed once a second is then allowed once, however slow the machine."""
        self.stopped_at = time.time()

    def advance(self, seconds: float) -> None:
        """Move forward; time never runs back."""
        if seconds < 0:
            raise ValueError("time does not run back")
        self.ahead_seconds += seconds

    def day(self) -> str:
        """The platforms' calendar day: quotas begin anew at midnight in Beijing."""
        return (datetime.fromtimestamp(self.now(), UTC) + _BEIJING).strftime("%Y-%m-%d")

    def month(self) -> str:
        """The calendar month, for what is counted by month."""
        return self.day()[:7]

    def until_tomorrow(self) -> float:
        """Virtual time of the next midnight in Beijing."""
        local = datetime.fromtimestamp(self.now(), UTC) + _BEIJING
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return (midnight - _BEIJING).timestamp()


@dataclass(slots=True)
class Pace:
    """At most `number` calls in any `seconds`, by whatever key is counted."""

    clock: Clock
    number: int
    seconds: float
    _calls: dict[str, list[float]]

    @classmethod
    def of(cls, clock: Clock, number: int, seconds: float) -> Pace:
        """An empty count."""
        return cls(clock, number, seconds, {})

    def take(self, key: str) -> float:
        """Count one call and return 0; or return the seconds to wait, and count nothing."""
        now = self.clock.now()
        calls = [at for at in self._calls.get(key, []) if at > now - self.seconds]
        self._calls[key] = calls
        if len(calls) >= self.number:
            return calls[0] + self.seconds - now
        calls.append(now)
        return 0.0
