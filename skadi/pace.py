"""When to ask the server again. Pure arithmetic: chance comes in through `random`, time through arguments."""

from __future__ import annotations

import random

LONGEST_HOLD = 25
SHORTEST_HOLD = 5
INTERVAL = 10.0
JITTER = 0.2
EARLY_SECONDS = 1.0
SAME_SECOND = 2.0
FORGET_CUTS_SECONDS = 3600.0
FIRST_RETRY = 1.0
LONGEST_RETRY = 60.0
LONGEST_REPORT_RETRY = 600.0
LONGEST_RETRY_AFTER = 900.0
REFUSED_RETRY = 600.0


def jitter(least: float, most: float) -> float:
    """A random number of seconds; it spreads load and guards nothing."""
    return random.uniform(least, most)  # noqa: S311


def back_off(failures: int, most: float) -> float:
    """Full jitter: a random time up to 1, 2, 4, ... seconds, at most `most`; so a fleet does not come back at once."""
    return jitter(0, min(most, FIRST_RETRY * 2.0 ** min(failures - 1, 20)))


class PollPace:
    """How long to ask to be held, and how long to wait before the next poll, in seconds."""

    def __init__(self) -> None:
        self.hold = LONGEST_HOLD
        self.failures = 0
        self.last_cut: float | None = None
        self.shortened_at = 0.0

    def next_hold(self, now: float) -> int:
        """The hold to ask for; an hour after proxies cut us we try the full one again."""
        if self.hold < LONGEST_HOLD and now - self.shortened_at > FORGET_CUTS_SECONDS:
            self.hold = LONGEST_HOLD
        return self.hold

    def after_success(self) -> float:
        """After a job, or any other answer that says that all is well."""
        self.failures = 0
        return 0.0

    def after_no_job(self, elapsed: float) -> float:
        """After 204. An early one comes from a server that does not hold: then poll at the plain interval."""
        self.failures = 0
        if self.hold and elapsed >= EARLY_SECONDS:
            return 0.0
        return INTERVAL * jitter(1 - JITTER, 1 + JITTER)

    def after_cut(self, elapsed: float, now: float) -> float:
        """After a connection that ended while held. Twice at the same age is a proxy's limit: ask for half."""
        same = self.last_cut is not None and abs(elapsed - self.last_cut) < SAME_SECOND
        self.last_cut = elapsed
        if same and elapsed >= EARLY_SECONDS and self.hold:
            self.hold = max(self.hold // 2, SHORTEST_HOLD) if self.hold > SHORTEST_HOLD else 0
            self.shortened_at = now
            self.last_cut = None
        return self.after_failure(None)

    def after_failure(self, retry_after: float | None) -> float:
        """After anything that is no answer to a poll; what the server asks for is obeyed."""
        self.failures += 1
        delay = back_off(self.failures, LONGEST_RETRY)
        return delay if retry_after is None else retry_after + jitter(0, FIRST_RETRY)
