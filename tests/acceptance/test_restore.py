"""F17: a backup is restored over delayed jobs that have fired since; agents that ran them do not run them again."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from letserver.embedded import find_redis
from tests.lanes.services import ROOT
from tests.up.instance import Instance, clean_environment
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

_JOBS = 200
_DELAY_SECONDS = 20
_ENTRIES = """\
server: http://127.0.0.1:{port}
token: {token}
shortcuts:
  - {{short: count, cmd: "echo $SKADI_JOB_ID >> {runs}", shell: true}}
"""


@contextmanager
def _up(data: Path, port: int = 0) -> Iterator[Instance]:
    instance = Instance(data, port=port, LETSERVER_USER_CALLS_A_MINUTE="0", LETSERVER_AGENT_CALLS_A_MINUTE="0")
    try:
        yield instance.wait_until_ready()
        instance.press_ctrl_c()
    finally:
        instance.end()


@contextmanager
def _agent(folder: Path, config: Path) -> Iterator[None]:
    environment = {**os.environ, "SKADI_STATE_DIR": str(folder / "state"), "SKADI_DIE_WITH_PARENT": "1"}
    with (folder / "agent.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "skadi", "--config", str(config)], cwd=ROOT, env=environment, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _manage(data: Path, *words: str) -> str:
    """Run a management command on a stopped or running instance, as staff would."""
    environment = clean_environment(LETSERVER_DATA=str(data), LETSERVER_SECRET_KEY="0" * 64)
    command = [sys.executable, str(ROOT / "manage.py"), *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _rows(data: Path, query: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(f"file:{data / 'letserver.sqlite3'}?mode=ro", uri=True, timeout=20)) as connection:
        return connection.execute(query).fetchall()


def test_a_restored_backup_runs_nothing_twice(tmp_path: Path, tell: Callable[[str], None]) -> None:
    assert find_redis() is not None
    data, backup, runs = tmp_path / "data", tmp_path / "backup.sqlite3", tmp_path / "runs"
    runs.touch()
    with _up(data) as product:
        made = product.call("POST", "/agents", {"name": "worker"})[1]
        config = tmp_path / "skadi.yml"
        config.touch(0o600)
        config.write_text(_ENTRIES.format(port=product.port, token=made["token"], runs=runs))
        with _agent(tmp_path, config):
            body = {"agent": "worker", "message": "count", "delay": _DELAY_SECONDS, "callback": "disable"}
            for _ in range(_JOBS):
                assert product.call("POST", "/delayed-jobs", body)[0] == 201
            taken = datetime.now(UTC)
            with closing(sqlite3.connect(data / "letserver.sqlite3")) as source, closing(sqlite3.connect(backup)) as to:
                source.backup(to)
            until(lambda: len(runs.read_text().split()) == _JOBS, seconds=_DELAY_SECONDS + 120)
    ran = runs.read_text().split()
    assert len(set(ran)) == _JOBS

    for old in data.glob("letserver.sqlite3*"):
        old.unlink()
    backup.rename(data / "letserver.sqlite3")
    said = _manage(data, "after_restore", "--backup-taken", taken.isoformat())
    assert f"{_JOBS} " in said
    with _up(data, product.port) as again, _agent(tmp_path, config):
        until(lambda: again.call("GET", f"/agents/{made['id']}")[1]["online"], seconds=30)
        time.sleep(3)  # three ticks while the ticker is held
        assert _rows(data, "SELECT COUNT(*) FROM jobs_job WHERE parent_id IS NOT NULL") == [(0,)]
        _manage(data, "after_restore", "--go")
        until(
            lambda: _rows(data, "SELECT COUNT(*) FROM jobs_delayedjob WHERE state = 'fired'") == [(_JOBS,)], seconds=60
        )
        # Each was offered to the agent or has ended, so it could have run a second time.
        untouched = "SELECT COUNT(*) FROM jobs_job WHERE parent_id IS NOT NULL AND offer = 0"
        until(lambda: _rows(data, untouched) == [(0,)], seconds=120)
        time.sleep(5)
        ends = dict(_rows(data, "SELECT status, COUNT(*) FROM jobs_job WHERE parent_id IS NOT NULL GROUP BY status"))
    assert sorted(runs.read_text().split()) == sorted(ran)
    tell(f"restored backup: {_JOBS} delayed jobs fired again, 0 ran a second time; they stand as {ends}")
