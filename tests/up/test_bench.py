"""`make bench` prints its table; how fast anything is, no test says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.lanes.services import ROOT
from tests.up.instance import clean_environment


@pytest.mark.long
def test_the_table_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--seconds", "0.3", "--rounds", "1"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for figure in ("WeChat callback at 200/s, p99", "messages accepted", "deliveries of one courier"):
        assert figure in done.stdout
    assert "round 1 of 1: deliveries" in done.stderr
