"""The private servers and folders of one pytest run, and the environment that points Django to them."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

import redis as redis_client

from letserver.environment import SETTINGS
from tests.lanes.services import PrivateMariaDB, PrivateRedis, PrivateServer
from tests.lanes.template import copy_mariadb, copy_sqlite

SQLITE, MARIADB = "sqlite", "mariadb"
PARTS = WORKING, WAITING, CALLING = ("working", "waiting", "calling")
"""`make test` runs a lane as several processes: those that mostly wait leave the cores to those that work.

The tests of the API, which are many, are a part of the SQLite lane, and belong to the work of the other.
"""
PARTS_OF = {SQLITE: (WORKING, WAITING, CALLING), MARIADB: (WORKING, WAITING)}
NO_LIMITS = {
    "LETSERVER_USER_CALLS_A_MINUTE": "0",
    "LETSERVER_AGENT_CALLS_A_MINUTE": "0",
    "LETSERVER_AUTH_FAILURES_A_MINUTE": "0",
    "LETSERVER_VISITOR_PAGES_A_MINUTE": "0",
    "LETSERVER_AGENTS_PER_USER": "0",
    # High, not off: the tests count queries as the product makes them.
    "LETSERVER_WAITING_JOBS_PER_USER": "100000000",
    "LETSERVER_DELAYED_JOBS_PER_USER": "100000000",
}
"""The tests call more often from one address than people do, and have more; tests of the limits set their own."""


class Lane:
    """All servers that this run has started; `name` is `sqlite` or `mariadb`."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Paths of Unix sockets must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="letserver-test-"))
        self._servers: list[PrivateServer] = []
        self.mariadb: PrivateMariaDB | None = None
        try:
            # The lanes test two versions of Redis: the machine's and the wheel's.
            redis = PrivateRedis(self.folder / "redis", prefer_path=name == MARIADB)
            self._servers.append(redis)
            if name == MARIADB:
                self.mariadb = PrivateMariaDB(self.folder / "mariadb")
                self._servers.append(self.mariadb)
            self._set_environment(redis.url)
            self.redis = redis_client.Redis.from_url(redis.url)
        except BaseException:
            self.close()
            raise

    def database_url(self, name: str) -> str:
        """Return the URL of a new, empty database; "" means a SQLite file in LETSERVER_DATA."""
        return self.mariadb.create_database(name) if self.mariadb is not None else ""

    def migrated_database(self, name: str, *, data: Path) -> str:
        """Copy the migrated template to the database `name`, or to the SQLite file in `data`; return the URL."""
        own = self.folder / "template"
        if self.mariadb is not None:
            return copy_mariadb(self.mariadb, name, own=own)
        copy_sqlite(data, own=own)
        return ""

    def close(self) -> None:
        """Stop every server and remove every file. May be called again."""
        for server in reversed(self._servers):
            server.stop()
        self._servers.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _set_environment(self, redis_url: str) -> None:
        """Set every setting, so that the caller's environment and a `.env` have no effect."""
        for setting in SETTINGS:
            if setting.default is not None:
                os.environ[setting.name] = setting.default
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        os.environ.update(
            DJANGO_SETTINGS_MODULE="letserver.settings",
            LETSERVER_DATA=str(data),
            LETSERVER_SECRET_KEY="a key that signs nothing outside of this run of the tests",
            LETSERVER_DATABASE_URL=self.database_url("letserver"),
            LETSERVER_REDIS_URL=redis_url,
            **NO_LIMITS,
        )


@functools.cache
def start_lane() -> Lane:
    """Return this run's lane. The first call starts it and sets Django up."""
    name = os.environ.get("LETSERVER_TEST_LANE", SQLITE)
    if name not in (SQLITE, MARIADB):
        raise SystemExit(f"LETSERVER_TEST_LANE is {name!r}; write {SQLITE} or {MARIADB}")
    lane = Lane(name)
    atexit.register(lane.close)
    import django

    django.setup()
    return lane
