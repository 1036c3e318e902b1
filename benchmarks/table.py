"""The table of results: the median of the rounds of each figure, beside the median of its yardstick."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.product import Product

Round = Mapping[str, float]
"""The measured values of one round by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table. `figure` and `yardstick` are names in a Round; `unit` is ms or /s."""

    title: str
    figure: str
    yardstick: str
    beside: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One benchmark: `measure(product, seconds)` runs one round."""

    name: str
    lines: Sequence[Line]
    measure: Callable[[Product, float], Round]


def table(benches: Sequence[Bench], rounds: Mapping[str, Sequence[Round]]) -> str:
    head = f"{'figure':<44} {'median':>11}   {'beside':<40} {'median':>11}  {'ratio':>7}   rounds"
    shown = [head, "-" * len(head)]
    for bench in benches:
        for line in bench.lines:
            of = [one[line.figure] for one in rounds[bench.name]]
            by = [one[line.yardstick] for one in rounds[bench.name]]
            figure, yardstick = statistics.median(of), statistics.median(by)
            ratio = f"{figure / yardstick:.3f}" if yardstick else "-"
            each = " ".join(f"{value:.1f}" for value in of)
            left = f"{line.title:<44} {_value(figure, line.unit):>11}"
            right = f"{line.beside:<40} {_value(yardstick, line.unit):>11}"
            shown.append(f"{left}   {right}  {ratio:>7}   {each}")
    return "\n".join(shown)


def _value(number: float, unit: str) -> str:
    return f"{number:.1f} {unit}"
