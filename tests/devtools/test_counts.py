"""The counting tools print their tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from devtools.lines import count_lines
from tests.lanes.services import ROOT

_ROWS = (
    "POST /jobs",
    "GET /agent/job",
    "PUT /agent/jobs/{id}/succeed",
    "POST /delayed-jobs",
    "report to outbox row",
    "a chat line to a job",
)


def test_trace_counts_files_and_functions_of_six_calls() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devtools.trace", "--files", "--runs", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["call", "files", "functions", "calls"]
    counts: dict[str, list[int]] = {}
    files: list[list[str]] = []
    for line in lines:
        if line.startswith("    "):
            files[-1].append(line.split()[0])
        else:
            name, *numbers = line.rsplit(maxsplit=3)
            counts[name] = [int(number) for number in numbers]
            files.append([])
    assert tuple(counts) == _ROWS
    for (crossed, functions, calls), paths in zip(counts.values(), files, strict=True):
        assert 1 <= crossed <= functions <= calls
        assert len(paths) == crossed
        assert all((ROOT / path).is_file() for path in paths)


def test_lines_counts_every_room_without_migrations(tmp_path: Path) -> None:
    for path, text in {
        "jobs/states.py": "one\n\nthree\n",
        "jobs/migrations/0001_initial.py": "no\n",
        "static/js/ask.js": "one\n",
        "static/vendor/htmx.min.js": "no\n",
        "templates/base.html": "one\ntwo\n",
        "tests/test_states.py": "no\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    found = {place: dict(counts) for place, counts in count_lines(tmp_path).items() if counts}
    assert found == {
        "jobs": {"files": 1, "python": 3},
        "templates": {"files": 1, "templates": 2},
        "static": {"files": 1, "js": 1},
    }
