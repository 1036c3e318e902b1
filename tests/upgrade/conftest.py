"""One old database for all tests here: built, migrated to the newest state, and then served and used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT
from tests.upgrade.old_database import read_old
from tests.upgrade.tables import Tables, opened, read_migrations, read_schema, read_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """The content of the database before the newest migrations and after them."""

    url: str
    before: Tables
    after: Tables
    schema: set[str]
    migrations: set[tuple[str, str]]


@pytest.fixture(scope="session")
def old() -> dict[str, Any]:
    """The old rows, and the tokens and ids that belong to them."""
    return read_old()


@pytest.fixture(scope="session")
def upgrade(lane: Lane, old: dict[str, Any], tmp_path_factory: Any, django_db_blocker: Any) -> Upgrade:
    """The old database after `manage.py migrate`."""
    folder: Path = tmp_path_factory.mktemp("upgrade")
    url = lane.database_url("upgrade") or f"sqlite://{folder / 'old.sqlite3'}"
    environment = {
        **os.environ,
        "LETSERVER_DATA": str(folder),
        "LETSERVER_DATABASE_URL": url,
        "LETSERVER_SECRET_KEY": old["secret_key"],
    }

    def run(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("-m", "tests.upgrade.old_database")
    with django_db_blocker.unblock(), opened(url) as connection:
        before = read_tables(connection)
    run("manage.py", "migrate", "--no-input", "--verbosity", "0")
    with django_db_blocker.unblock(), opened(url) as connection:
        return Upgrade(
            url=url,
            before=before,
            after=read_tables(connection),
            schema=read_schema(connection),
            migrations=read_migrations(connection),
        )


@pytest.fixture(scope="session")
def server(lane: Lane, upgrade: Upgrade, old: dict[str, Any]) -> Iterator[LiveServer]:
    """The web server on the upgraded database."""
    server = LiveServer(
        lane,
        "upgraded",
        gateway=True,
        LETSERVER_DATABASE_URL=upgrade.url,
        LETSERVER_SECRET_KEY=old["secret_key"],
    )
    yield server
    server.close()
