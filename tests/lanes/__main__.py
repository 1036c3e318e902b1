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
    seconds: float
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

    not_run: list[str] = []
    browser = _provide("browser tests", debian.BROWSER_NEEDS, log, not_run)
    _provide("tests of the translations", debian.TRANSLATION_NEEDS, log, not_run)
    mariadb = _provide("the MariaDB lane", debian.MARIADB_NEEDS, log, not_run) and _install_mysqlclient(not_run)

    marks = "long" if arguments.long else "not long"
    lanes = [(SQLITE, marks if browser else f"{marks} and not browser")]
    if mariadb:
        lanes.append((MARIADB, marks))
    outcomes = [_run(lane, expression, for_pytest, long=arguments.long) for lane, expression in lanes]
    _tell(outcomes, not_run)
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


def _run(lane: str, expression: str, for_pytest: list[str], *, long: bool) -> Outcome:
    print(f"\n━━━ {_NAMES[lane]} ━━━", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pytest", "-m", expression, f"--lane-report={report}"]
        command += ["--timeout", "1800"] if long else []
        environment = {**os.environ, "LETSERVER_TEST_LANE": lane, "PYTHONUNBUFFERED": "1"}
        done = subprocess.run([*command, *for_pytest], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False)
        found = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    exit_code = 0 if long and done.returncode == _NO_TESTS else done.returncode
    reasons = found.pop("reasons", [])
    if exit_code and not found:
        found = {"error": 1}  # pytest did not come to its end
    return Outcome(lane=lane, exit_code=exit_code, seconds=time.monotonic() - began, report=found, reasons=reasons)


def _tell(outcomes: list[Outcome], not_run: list[str]) -> None:
    """Print the last lines."""
    print("\n━━━ summary ━━━")
    for outcome in outcomes:
        print(outcome.line)
        print(f"  {'ok' if outcome.exit_code == 0 else 'FAILED'}, {outcome.seconds:.0f} s")
        for reason in outcome.reasons:
            print(f"  skipped: {reason}")
    for reason in not_run:
        print(f"Not run: {reason}")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
