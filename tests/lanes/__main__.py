"""`make test` and `make test-long`: run both lanes, and print what ran and what did not.

A lane that cannot run is printed there; with CI=true it is a failure.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from letserver import bootstrap
from tests.lanes import debian
from tests.lanes.costs import PartCost
from tests.lanes.lane import MARIADB, PARTS_OF, SQLITE, WAITING, WORKING
from tests.lanes.services import ROOT
from tests.lanes.template import TEMPLATES

_NAMES = {SQLITE: "SQLite", MARIADB: "MariaDB"}
_NO_TESTS = 5
_AT_ONCE = 4
"""The number of parallel pytest processes; with more, tests with a time limit would disturb each other."""

_COSTLIEST = 10


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The result of a lane, or of a part of it. `report` is empty if pytest crashed."""

    lane: str
    exit_code: int
    report: dict[str, int] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    costs: list[PartCost] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The lane's line, in the plain format that CI systems parse."""
        failed = self.report.get("failed", 0) + self.report.get("error", 0)
        passed, skipped = self.report.get("passed", 0), self.report.get("skipped", 0)
        return f"{_NAMES[self.lane]}: {passed} passed, {failed} failed, {skipped} skipped"


def main() -> int:
    """Run the lanes that can run; return 0 if all tests passed and, with CI=true, every lane ran."""
    parser = argparse.ArgumentParser(prog="python -m tests.lanes", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the tests marked long instead of the others")
    arguments, for_pytest = parser.parse_known_args()
    # Keep the log outside of temporary folders, for reading after a failure.
    log = ROOT / "build" / "apt.log"
    log.parent.mkdir(exist_ok=True)

    began = time.monotonic()
    not_run: list[str] = []
    browser = _provide("browser tests", debian.BROWSER_NEEDS, log, not_run)
    _provide("tests of the translations", debian.TRANSLATION_NEEDS, log, not_run)
    mariadb = _provide("the MariaDB lane", debian.MARIADB_NEEDS, log, not_run) and _install_mysqlclient(not_run)

    marks = "long" if arguments.long else "not long"
    lanes = [(SQLITE, marks if browser else f"{marks} and not browser")]
    if mariadb:
        lanes.append((MARIADB, marks))
    # Parts run in parallel, because they mostly wait. The long tests use all cores by themselves.
    parts = {SQLITE: ("",), MARIADB: ("",)} if arguments.long else PARTS_OF
    with tempfile.TemporaryDirectory() as folder:
        os.environ[TEMPLATES] = f"{folder}/templates"
        # Hundreds of processes start: each would compile the product again.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        runs = [
            _Run(lane, part, marks, for_pytest, folder=Path(folder)) for lane, marks in lanes for part in parts[lane]
        ]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            # The shortest part waits until another has ended.
            at_work = {run: pool.submit(run.work) for run in sorted(runs, key=lambda run: run.is_short)}
            ended = [run.outcome(at_work[run].result) for run in runs]
    outcomes = [_together(lane, [part for part in ended if part.lane == lane], arguments.long) for lane, _ in lanes]
    _tell(outcomes, not_run, seconds=time.monotonic() - began)
    failed = any(outcome.exit_code != 0 for outcome in outcomes)
    return 1 if failed or (not_run and os.environ.get("CI") == "true") else 0


def _provide(what: str, needs: tuple[debian.Need, ...], log: Path, not_run: list[str]) -> bool:
    """Return whether the machine has the needed packages, after trying to install them."""
    missing = debian.missing(needs)
    why = debian.install(missing, log=log) if missing else ""
    if why:
        not_run.append(f"{what}: {', '.join(need.name for need in missing)} missing ({why})")
    return not why


def _install_mysqlclient(not_run: list[str]) -> bool:
    try:
        bootstrap.ensure(["mysql"])
        importlib.invalidate_caches()
    except bootstrap.Refusal as refusal:
        not_run.append(f"the MariaDB lane: mysqlclient could not be built\n{refusal}")
        return False
    return True


def _together(lane: str, parts: list[Outcome], long: bool) -> Outcome:
    """Combine the results of a lane's parts. A part may be without tests if the lane has some."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.report)
    failures = [part.exit_code for part in parts if part.exit_code not in (0, _NO_TESTS)]
    none_ran = not long and all(part.exit_code == _NO_TESTS for part in parts)
    return Outcome(
        lane=lane,
        exit_code=failures[0] if failures else _NO_TESTS if none_ran else 0,
        report=dict(counts),
        reasons=sorted({reason for part in parts for reason in part.reasons}),
        costs=[cost for part in parts for cost in part.costs],
    )


class _Run:
    """The pytest process of a lane, or of a part. The first prints at once, the others when they have ended."""

    def __init__(self, lane: str, part: str, marks: str, for_pytest: list[str], *, folder: Path) -> None:
        self.lane, self.is_short = lane, (lane, part) == (MARIADB, WAITING)
        self._title = f"{_NAMES[lane]}, {part}" if part else _NAMES[lane]
        self._report = folder / f"{lane}{part}.json"
        self._seconds = self._cpu = 0.0
        self._kept = None if lane == SQLITE and part in ("", WORKING) else folder / f"{lane}{part}.txt"
        command = [sys.executable, "-m", "pytest", "-m", marks, f"--lane-report={self._report}"]
        # Only the long tests are not run in parts.
        self._command = [*command, *([f"--part={part}"] if part else ["--timeout", "1800"]), *for_pytest]

    def work(self) -> int:
        """Run pytest; return its exit code."""
        began = time.monotonic()
        with ExitStack() as stack:
            output = stack.enter_context(self._kept.open("wb")) if self._kept is not None else None
            process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, "LETSERVER_TEST_LANE": self.lane, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output is not None else None,
            )
            # Popen.wait() does not return the CPU time, and that of all children would mix the parts.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self._seconds, self._cpu = time.monotonic() - began, usage.ru_utime + usage.ru_stime
        return process.returncode

    def outcome(self, wait: Callable[[], int]) -> Outcome:
        """Wait for the end, print the kept output, and return the result."""
        if self._kept is None:
            print(f"\n━━━ {self._title} ━━━", flush=True)
        exit_code = wait()
        if self._kept is not None:
            print(f"\n━━━ {self._title} ━━━", flush=True)
            print(self._kept.read_text(encoding="utf-8", errors="replace"), flush=True)
        found = json.loads(self._report.read_text(encoding="utf-8")) if self._report.exists() else {}
        reasons, files = found.pop("reasons", []), found.pop("files", {})
        cost = PartCost(title=self._title, seconds=self._seconds, cpu=self._cpu, files=files)
        if exit_code and not found:
            found = {"error": 1}  # pytest crashed
        return Outcome(lane=self.lane, exit_code=exit_code, report=found, reasons=reasons, costs=[cost])


def _tell(outcomes: list[Outcome], not_run: list[str], *, seconds: float) -> None:
    """Print the costs of every part and the last lines."""
    costs = [cost for outcome in outcomes for cost in outcome.costs]
    for cost in costs:
        print(f"\n{cost.table(count=_COSTLIEST)}")
    cpu = sum(cost.cpu for cost in costs)
    print(f"\n━━━ {seconds:.0f} s in all, {cpu:.0f} s of CPU time on {os.cpu_count()} cores ━━━")
    for outcome in outcomes:
        print(outcome.line)
        if outcome.exit_code != 0:
            print(f"  FAILED (pytest ended with {outcome.exit_code})")
        for reason in outcome.reasons:
            print(f"  skipped: {reason}")
    for reason in not_run:
        print(f"Not run: {reason}")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
