"""Lets tests set any time. The guard of the ticker has its own tests."""

from __future__ import annotations

import pytest

from jobs.life import ticker


class _AnyClock(ticker.ClockGuard):
    """A guard that accepts every time."""

    def __init__(self) -> None:
        super().__init__(steady=lambda: 0.0)
        self._last = None

    def believes(self, now: object) -> bool:
        return True


@pytest.fixture(autouse=True)
def _any_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests give any time."""
    monkeypatch.setattr(ticker, "guard", _AnyClock())
