"""`make test` and `make test-long`: both lanes, and last lines that say what ran and what did not.

A lane that cannot run is told of there; with CI=true it is a failure.
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
from dataclasses import dataclass, field
from pathlib import Path

from letserver import bootstrap
from tests.lanes import debian
from tests.lanes.lane import MARIADB, SQLITE
from tests.lanes.services import ROOT

_NAMES = {SQLITE: "SQLite", MARIADB: "MariaDB"}
_NO_TESTS = 5


@dataclass(slots=True, kw_only=True)
class Outcome:
    """One lane's run. `report` is empty when pytest did not come to its end."""

    lane: str
    exit_code: int
    report: dict[str, int] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """Return the lane's line, in the plain form that CI systems count."""
        failed = self.report.get("failed", 0) + self.report.get("error", 0)
        passed, skipped = self.report.get("passed", 0), self.report.get("skipped", 0)
        return f"{_NAMES[self.lane]}: {passed} passed, {failed} failed, {skipped} skipped"


def main() -> int:
    """Run the lanes that can run; return 0 when everything that ran passed and, with CI=true, everything ran."""
    parser = argparse.ArgumentParser(prog="python -m tests.lanes", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the tests marked long instead of the others")
    arguments, for_pytest = parser.parse_known_args()
    # Not in a temporary folder: it is worth reading after a failure.
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
    # Side by side: each waits for its own servers most of the time, and ten minutes is the limit for both.
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            _Run(lane, expression, for_pytest, long=arguments.long, folder=Path(folder)) for lane, expression in lanes
        ]
        outcomes = [run.outcome() for run in runs]
    _tell(outcomes, not_run, seconds=time.monotonic() - began)
    failed = any(outcome.exit_code != 0 for outcome in outcomes)
    return 1 if failed or (not_run and os.environ.get("CI") == "true") else 0


def _provide(what: str, needs: tuple[debian.Need, ...], log: Path, not_run: list[str]) -> bool:
    """Tell whether the machine has what is needed, after trying to install it."""
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


class _Run:
    """One lane's pytest. The first speaks at once, what a later one says is kept until the first has ended."""

    def __init__(self, lane: str, expression: str, for_pytest: list[str], *, long: bool, folder: Path) -> None:
        self._lane, self._long = lane, long
        self._report = folder / f"{lane}.json"
        self._kept = folder / f"{lane}.txt" if lane != SQLITE else None
        command = [sys.executable, "-m", "pytest", "-m", expression, f"--lane-report={self._report}"]
        command += ["--timeout", "1800"] if long else []
        environment = {**os.environ, "LETSERVER_TEST_LANE": lane, "PYTHONUNBUFFERED": "1"}
        output = self._kept.open("wb") if self._kept is not None else None
        self._pytest = subprocess.Popen(
            [*command, *for_pytest],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
        )
        if output is not None:
            output.close()

    def outcome(self) -> Outcome:
        """Wait for the end, show what was kept, and return the result."""
        if self._kept is None:
            print(f"\n━━━ {_NAMES[self._lane]} ━━━", flush=True)
        status = self._pytest.wait()
        if self._kept is not None:
            print(f"\n━━━ {_NAMES[self._lane]} ━━━", flush=True)
            print(self._kept.read_text(encoding="utf-8", errors="replace"), flush=True)
        exit_code = 0 if self._long and status == _NO_TESTS else status
        found = json.loads(self._report.read_text(encoding="utf-8")) if self._report.exists() else {}
        reasons = found.pop("reasons", [])
        if exit_code and not found:
            found = {"error": 1}  # pytest did not come to its end
        return Outcome(lane=self._lane, exit_code=exit_code, report=found, reasons=reasons)


def _tell(outcomes: list[Outcome], not_run: list[str], *, seconds: float) -> None:
    """Print the last lines."""
    print(f"\n━━━ {seconds:.0f} s in all ━━━")
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
