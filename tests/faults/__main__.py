"""`make faults`: run every cell of the table, several in parallel, and print the results.

    python -m tests.faults [--cell NAME ...] [--lane sqlite|mariadb ...] [--short] [--parallel N] [--list]

Without --lane, every cell runs on every lane that supports it. Journals, logs and rows are kept in build/faults/. The
exit status is 0 if every cell that ran had enough faults and no violation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from letserver import bootstrap
from tests.faults.cells import CELLS, LEAST_FAULTS, SHORT, Cell
from tests.faults.run import HEAD, Row, describe, run_cell, why_not
from tests.lanes import debian
from tests.lanes.lane import MARIADB, SQLITE
from tests.lanes.services import ROOT

_RESULTS = ROOT / "build" / "faults"
# A cell mostly waits; this many keep two cores busy.
_PARALLEL = 6
_CELL_SECONDS = 900.0


def main() -> int:
    """Run the chosen cells; return 0 if all are good."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--cell", action="append", metavar="NAME", help="only this cell; may be repeated")
    parser.add_argument("--lane", action="append", choices=(SQLITE, MARIADB))
    parser.add_argument("--short", action="store_true", help="only the short form: everything once")
    parser.add_argument("--parallel", type=int, default=_PARALLEL, metavar="N")
    parser.add_argument("--list", action="store_true", help="name the cells and end")
    parser.add_argument("--run-here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print("\n".join(cell.name for cell in (*CELLS, SHORT)))
        return 0
    named = {cell.name: cell for cell in (*CELLS, SHORT)}
    unknown = [name for name in options.cell or () if name not in named]
    if unknown:
        parser.error(f"no such cell: {', '.join(unknown)}; --list names them")
    cells = [SHORT] if options.short else [named[name] for name in options.cell] if options.cell else list(CELLS)
    if options.run_here:
        (cell,), (lane,) = cells, options.lane
        return 0 if run_cell(cell, lane=lane, results=_folder(cell, lane)).is_good else 1
    chosen = [(cell, lane) for cell in cells for lane in options.lane or cell.lanes]
    return _run(chosen, parallel=options.parallel)


def _folder(cell: Cell, lane: str) -> Path:
    return _RESULTS / f"{cell.name.replace(' ', '-')}.{lane}"


def _run(chosen: list[tuple[Cell, str]], *, parallel: int) -> int:
    began = time.monotonic()
    no_mariadb = _provide_mariadb() if any(lane == MARIADB for _cell, lane in chosen) else ""
    not_run = [
        (cell, lane, why)
        for cell, lane in chosen
        if (why := why_not(cell, lane) or (no_mariadb if lane == MARIADB else ""))
    ]
    left_out = {(cell.name, lane) for cell, lane, _why in not_run}
    # Start the long cells first, to shorten the whole run.
    waiting = [(cell, lane) for cell, lane in chosen if (cell.name, lane) not in left_out]
    waiting.sort(
        key=lambda each: not (each[0].least_faults > LEAST_FAULTS or each[0].name.endswith(("SIGSTOP", "hole")))
    )
    print(HEAD, flush=True)
    with ThreadPoolExecutor(parallel) as threads:
        rows = list(threads.map(lambda each: _run_apart(*each), waiting))
    for cell, lane, why in not_run:
        print(f"Not run: {cell.name} on {lane}: {why}")
    good = [row for row in rows if row is not None and row.is_good]
    items, faults, written, lost = (
        sum(getattr(row, what) for row in rows if row is not None) for what in ("items", "faults", "written", "lost")
    )
    violations = sum(len(row.violations) for row in rows if row is not None)
    print(
        f"{len(good)} of {len(rows)} cells held; {items} items, {faults} faults landed, {violations} violations; "
        f"acknowledged writes {written}, lost writes {lost}; {time.monotonic() - began:.0f} s"
    )
    if not_run and os.environ.get("CI") == "true" and any("no such thing" not in why for _cell, _lane, why in not_run):
        return 1
    return 0 if len(good) == len(rows) else 1


def _provide_mariadb() -> str:
    """Install MariaDB for its lane; return "" or why it cannot run."""
    missing = debian.missing(debian.MARIADB_NEEDS)
    log = ROOT / "build" / "apt.log"
    log.parent.mkdir(exist_ok=True)
    why = debian.install(missing, log=log) if missing else ""
    if why:
        return f"{', '.join(need.name for need in missing)} missing ({why})"
    try:
        bootstrap.ensure(["mysql"])
    except bootstrap.Refusal as refusal:
        return f"mysqlclient could not be built: {refusal}"
    return ""


def _run_apart(cell: Cell, lane: str) -> Row | None:
    """Run a cell in its own process and print its line; return None if the process crashed."""
    folder = _folder(cell, lane)
    folder.mkdir(parents=True, exist_ok=True)
    row_file = folder / "row.json"
    row_file.unlink(missing_ok=True)
    log = folder.with_suffix(f".{lane}.log")
    command = [sys.executable, "-m", "tests.faults", "--run-here", "--cell", cell.name, "--lane", lane]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            process.wait(_CELL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if not row_file.exists():
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        print(f"{cell.name:<30} {lane:<8} crashed: {' '.join(said)} ({log})", flush=True)
        return None
    row = Row(**json.loads(row_file.read_text(encoding="utf-8")))
    print(describe(row), flush=True)
    return row


if __name__ == "__main__":
    raise SystemExit(main())
