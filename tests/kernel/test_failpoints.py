"""A failpoint kills at the n-th time, in that process alone, and a slip in its name stops the start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kernel import failpoints
from tests.lanes.services import ROOT

_REACH_FIVE_TIMES = """
from kernel.failpoints import arm, reach
import sys
arm(sys.argv[1])
for _ in range(5):
    reach("run_one.before_commit")
    print("lived", flush=True)
"""


def _run(text: str) -> tuple[int, int]:
    """Return the exit code, and how often the process lived through its point."""
    done = subprocess.run([sys.executable, "-c", _REACH_FIVE_TIMES, text], cwd=ROOT, capture_output=True, check=False)
    return done.returncode, done.stdout.count(b"lived")


def test_the_process_dies_when_the_point_is_reached_for_the_nth_time(tmp_path: Path) -> None:
    told = tmp_path / "a:colon"
    assert _run(f"run_one.before_commit:3:{told}") == (-signal.SIGKILL, 2)
    assert told.read_text(encoding="utf-8").startswith("run_one.before_commit ")
    assert _run("run_one.before_commit:1") == (-signal.SIGKILL, 0)


def test_other_points_and_no_point_at_all_kill_nobody() -> None:
    assert _run("run_one.after_commit:1") == (0, 5)
    assert _run("run_one.before_commit:6") == (0, 5)
    assert _run("") == (0, 5)


@pytest.mark.parametrize(
    "text",
    [
        "alone",
        "run_one.before_commit",
        "run_one.before_commit:0",
        "run_one.before_commit:x",
        "x:1",
        "writer.after_take:1",
        "raise:x:1",
        "raise:writer.after_take:1:file",
    ],
)
def test_a_slip_in_the_variable_is_refused(text: str) -> None:
    with pytest.raises(failpoints.UnknownFailpoint, match=failpoints.VARIABLE):
        failpoints.arm(text)


def test_a_start_with_an_unknown_name_is_refused() -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "version"]
    environment = {**os.environ, failpoints.VARIABLE: "no.such.point:1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no.such.point" in done.stderr
