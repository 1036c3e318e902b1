"""Measure the product on this machine: `make bench`, or `python -m benchmarks --seconds 5 --only callbacks`.

Every figure is printed with a yardstick of the same run, measured alternately with it: the ratio can be compared
between machines, the numbers cannot. Nothing is asserted. Other load on the machine changes all numbers.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict

from benchmarks import abused, acceptance, callbacks, delayed, deliveries
from benchmarks.product import running
from benchmarks.table import Round, table

_BENCHES = (callbacks.BENCH, acceptance.BENCH, deliveries.BENCH, abused.BENCH, delayed.BENCH)


def main() -> None:
    """Run the rounds and print the table."""
    names = [bench.name for bench in _BENCHES]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each figure is measured in a round")
    parser.add_argument("--rounds", type=int, default=3, help="how many rounds; their median is shown")
    parser.add_argument("--only", choices=names, action="append", help="measure only this; may be repeated")
    arguments = parser.parse_args()
    chosen = [bench for bench in _BENCHES if not arguments.only or bench.name in arguments.only]
    began = time.monotonic()

    def log(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s: {text}", file=sys.stderr, flush=True)

    log("starting the product and the simulator")
    found: defaultdict[str, list[Round]] = defaultdict(list)
    with running() as product:
        for number in range(1, arguments.rounds + 1):
            for bench in chosen:
                log(f"round {number} of {arguments.rounds}: {bench.name}")
                found[bench.name].append(bench.measure(product, arguments.seconds))
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"medians of {arguments.rounds} rounds of {arguments.seconds:g} s; SQLite; {os.cpu_count()} cores; load {load}"
    )
    print()
    print(table(chosen, found))


if __name__ == "__main__":
    main()
