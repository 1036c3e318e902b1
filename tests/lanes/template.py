"""A migrated database that is created once and then copied, because a migration takes five seconds of CPU time."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.lanes.services import ROOT, PrivateMariaDB

TEMPLATES = "LETSERVER_TEST_TEMPLATES"
"""Names a folder for templates that the parts of a run share. Without it every pytest process makes its own."""

_SQLITE_FILE = "letserver.sqlite3"


def copy_sqlite(data: Path, *, own: Path) -> None:
    """Put a migrated SQLite file into the data folder. Without a shared folder the template is made in `own`."""

    def make(template: Path) -> None:
        made = template.with_suffix(".data")
        _migrate(made, database_url="")
        (made / _SQLITE_FILE).rename(template)

    shutil.copyfile(_template(_SQLITE_FILE, own, make), data / _SQLITE_FILE)


def copy_mariadb(server: PrivateMariaDB, name: str, *, own: Path) -> str:
    """Create the database `name` with all that migrating creates; return its LETSERVER_DATABASE_URL."""

    def make(template: Path) -> None:
        _migrate(template.with_suffix(".data"), database_url=server.create_database("template"))
        template.write_text(json.dumps(server.dump_database("template")), encoding="utf-8")

    template = _template("mariadb.json", own, make)
    return server.load_database(name, json.loads(template.read_text(encoding="utf-8")))


def _template(name: str, own: Path, make: Callable[[Path], None]) -> Path:
    """Return the template, which the first of the run's processes makes while the others wait."""
    folder = Path(os.environ.get(TEMPLATES) or own)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    template = folder / name
    with template.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            make(template)
    return template


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
