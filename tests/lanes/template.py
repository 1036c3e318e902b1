"""A migrated database that is made once and then copied: to migrate costs five seconds of CPU time, a copy none."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.lanes.services import ROOT, PrivateMariaDB

TEMPLATES = "LETSERVER_TEST_TEMPLATES"
"""Names a folder for templates that the parts of a run share. Without it every pytest process makes its own."""

_FILE = "letserver.sqlite3"
_NAME = "template"


def copy_sqlite(to: Path, *, own: Path) -> None:
    """Write a migrated SQLite file to `to`. The template is made in `own`, or in the folder that TEMPLATES names."""
    folder = Path(os.environ.get(TEMPLATES) or own)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    template = folder / _FILE
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the parts of a lane start together
        if not template.exists():
            made = folder / "made"
            _migrate(made, database_url="")
            (made / _FILE).rename(template)
    shutil.copyfile(template, to)


def copy_mariadb(server: PrivateMariaDB, name: str, *, own: Path) -> str:
    """Create the database `name` with what migrating creates; return its LETSERVER_DATABASE_URL."""
    if not server.has_database(_NAME):
        _migrate(own, database_url=server.create_database(_NAME))
    return server.copy_database(_NAME, name)


def _migrate(data: Path, *, database_url: str) -> None:
    data.mkdir(mode=0o700, exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "migrate", "--no-input", "--verbosity", "0"],
        cwd=ROOT,
        env={**os.environ, "LETSERVER_DATA": str(data), "LETSERVER_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
