"""Pauses between requests. Only arithmetic: randomness comes from `random`, time from arguments."""

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
    """Return a random number of seconds. It spreads the load and protects nothing."""
    return random.uniform(least, most)  # noqa: S311


def back_off(failures: int, most: float) -> float:
    """Return a random time up to 1, 2, 4, ... seconds, at most `most` (full jitter), so that a fleet does not return at
    once.
    """
    return jitter(0, min(most, FIRST_RETRY * 2.0 ** min(failures - 1, 20)))


class PollPace:
    """How long to ask the server to hold a poll, and how long to wait before the next, in seconds."""

    def __init__(self) -> None:
        self.hold = LONGEST_HOLD
        self.failures = 0
        self.last_cut: float | None = None
        self.shortened_at = 0.0

    def next_hold(self, now: float) -> int:
        """Return the hold to ask for. An hour after a proxy cut a poll, the longest is tried again."""
        if self.hold < LONGEST_HOLD and now - self.shortened_at > FORGET_CUTS_SECONDS:
            self.hold = LONGEST_HOLD
        return self.hold

    def after_success(self) -> float:
        """Return the pause after a job, or after any other success."""
        self.failures = 0
        return 0.0

    def after_no_job(self, elapsed: float) -> float:
        """Return the pause after 204. An early 204 comes from a server that does not hold; then poll at the plain
        interval.
        """
        self.failures = 0
        if self.hold and elapsed >= EARLY_SECONDS:
            return 0.0
        return INTERVAL * jitter(1 - JITTER, 1 + JITTER)

    def after_cut(self, elapsed: float, now: float) -> float:
        """Return the pause after a held connection ended. Two cuts after the same time are a proxy's limit: halve the
        hold.
        """
        same = self.last_cut is not None and abs(elapsed - self.last_cut) < SAME_SECOND
        self.last_cut = elapsed
        if same and elapsed >= EARLY_SECONDS and self.hold:
            self.hold = max(self.hold // 2, SHORTEST_HOLD) if self.hold > SHORTEST_HOLD else 0
            self.shortened_at = now
            self.last_cut = None
        return self.after_failure(None)

    def after_failure(self, retry_after: float | None) -> float:
        """Return the pause after a failed poll: what the server asks for, or a backoff."""
        self.failures += 1
        delay = back_off(self.failures, LONGEST_RETRY)
        return delay if retry_after is None else retry_after + jitter(0, FIRST_RETRY)
