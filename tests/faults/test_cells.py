"""The short form of the faults, in every run; `make faults` and the long tests run the whole table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.cells import SHORT
from tests.faults.run import describe, run_cell
from tests.lanes.lane import Lane
from tests.lanes.services import ROOT


@pytest.mark.mariadb_only  # SQLite runs its cells in the long tests: both lanes share ten minutes
@pytest.mark.timeout(300)
def test_kills_and_restarts_of_every_part_lose_nothing_and_run_nothing_twice(lane: Lane, tmp_path: Path) -> None:
    row = run_cell(SHORT, lane=lane.name, results=tmp_path / "results", least_seconds=0)
    print(describe(row))
    assert row.violations == []
    assert row.faults >= SHORT.least_faults
    assert row.items > 20
    assert row.is_good, row


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_cell_of_the_table_holds(lane: Lane, capfd: pytest.CaptureFixture[str]) -> None:
    # The other lane runs its table in parallel.
    command = [sys.executable, "-m", "tests.faults", "--lane", lane.name, "--parallel", "4"]
    with capfd.disabled():  # show the table even if the test passes
        print()
        done = subprocess.run(command, cwd=ROOT, check=False)
    assert done.returncode == 0
