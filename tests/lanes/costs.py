"""Time per test file: wall-clock seconds, and CPU seconds of pytest and of the processes that it has reaped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict


class FileCost(TypedDict):
    """The cost of one file in a lane report. A session fixture counts for the file whose test used it first."""

    tests: int
    seconds: float
    cpu: float


class Costs:
    """Collects the cost of each file while pytest runs."""

    def __init__(self) -> None:
        self.files: dict[str, FileCost] = {}

    @contextmanager
    def measure(self, file: str) -> Iterator[None]:
        """Add the time of the block, as one test, to `file`."""
        began, cpu_before = time.perf_counter(), _cpu_seconds()
        try:
            yield
        finally:
            cost = self.files.setdefault(file, FileCost(tests=0, seconds=0.0, cpu=0.0))
            cost["tests"] += 1
            cost["seconds"] += time.perf_counter() - began
            cost["cpu"] += _cpu_seconds() - cpu_before


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCost:
    """The cost of one pytest process with all processes that it started, and of each of its files."""

    title: str
    seconds: float
    cpu: float
    files: Mapping[str, FileCost]

    def table(self, *, count: int) -> str:
        """Return the `count` files that took longest, one a line, under a line for the part."""
        costliest = sorted(self.files.items(), key=lambda item: -item[1]["seconds"])[:count]
        lines = [f"{cost['seconds']:8.1f} {cost['cpu']:8.1f} {cost['tests']:6}  {file}" for file, cost in costliest]
        head = f"{self.title}: {self.seconds:.0f} s, {self.cpu:.0f} s of CPU time"
        return "\n".join([head, f"{'seconds':>8} {'CPU':>8} {'tests':>6}  file", *lines])


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its ended children; a server counts when it is stopped."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
