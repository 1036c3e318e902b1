"""The whole product as real processes in a folder: the ones of `make up`, several of a kind where possible.

A process that dies is started again at once, as by systemd. Times are scaled: leases of 6 s, offline after 3 s.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from letserver.environment import SETTINGS
from letserver.up.port import WebPort
from tests.faults.proxy import Proxy
from tests.faults.webproxy import WebProxy
from tests.lanes.lane import MARIADB
from tests.lanes.live import free_port
from tests.lanes.services import ROOT, PrivateMariaDB, PrivateRedis, PrivateServer
from tests.up.instance import clean_environment
from tests.waiting import until

LEASE_SECONDS = 6
SCALED = {
    "LETSERVER_LEASE_SECONDS": str(LEASE_SECONDS),
    "LETSERVER_BEAT_LEASE_SECONDS": str(LEASE_SECONDS),
    "LETSERVER_ACK_SECONDS": "3",
    "LETSERVER_OFFLINE_SECONDS": "3",
    "LETSERVER_OUTAGE_SECONDS": "3",
    "LETSERVER_USER_CALLS_A_MINUTE": "0",
    "LETSERVER_AGENT_CALLS_A_MINUTE": "0",
    "LETSERVER_AUTH_FAILURES_A_MINUTE": "0",
    "LETSERVER_LOG_LEVEL": "WARNING",
}
REAL_AGENTS = ("real-1", "real-2")
OLD_AGENTS = ("old-1", "old-2")
WEBS = ("web-1", "web-2")

_LOOK_SECONDS = 0.1
_START_SECONDS = 60.0
_COMMAND = Path(__file__).with_name("command.py")


@dataclass(slots=True)
class Part:
    """One process by name. `wanted` False: it is kept down on purpose."""

    name: str
    launch: Callable[[], PrivateServer]
    server: PrivateServer | None = None
    wanted: bool = True
    starts: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def pid(self) -> int:
        """The process's id. Raises AssertionError if it was never started."""
        assert self.server is not None, self.name
        return self.server.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process exists, running or stopped by a signal."""
        return self.server is not None and self.server.process.poll() is None

    def start(self) -> None:
        """Start it unless it is alive."""
        with self.lock:
            if not self.is_alive:
                self.server = self.launch()
                self.starts += 1


class Product:
    """One product. Call it from one thread; a background thread restarts dead processes."""

    def __init__(
        self,
        folder: Path,
        evidence: Path,
        *,
        lane: str,
        slow_link: bool = False,
        slow_database: bool = False,
    ) -> None:
        """`slow_link` puts a proxy between all clients and the web, `slow_database` one between web and MariaDB."""
        self.folder, self.evidence, self.lane = folder, evidence, lane
        self.parts: dict[str, Part] = {}
        self.proxies: list[Proxy] = []
        self.link: WebProxy | None = None
        self.database_link: Proxy | None = None
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        (folder / "data").mkdir(parents=True, mode=0o700, exist_ok=True)
        (folder / "logs").mkdir(mode=0o700)
        self._start_stores(slow_database=slow_database)
        self.port = free_port()
        self._web_port = WebPort(host="127.0.0.1", port=self.port, shared=True)
        self.base = f"http://127.0.0.1:{self.port}"
        if slow_link:
            address = ("127.0.0.1", free_port())
            self.link = WebProxy(address, ("127.0.0.1", self.port))
            self.proxies.append(self.link)
        self.user_token = ""
        self.agent_tokens: dict[str, str] = {}

    # --- starting

    def start(self) -> Product:
        """Migrate, start all processes, create the agents, and return when the real ones are online."""
        self._manage("migrate", "--no-input", "--verbosity", "0")
        login = json.dumps({"username": "admin", "password": "a password of the faults"})
        self.user_token = json.loads(self._manage("first_start", stdin=login))["user_token"]
        for name in WEBS:
            self._add(name, self._launch_web(name))
        celery = [sys.executable, "-m", "celery", "-A", "letserver"]
        worker = ["worker", "--loglevel", "INFO", "--concurrency", "1", "--without-mingle", "--without-gossip"]
        self._add("worker", self._launcher("worker", [*celery, *worker]))
        beat = ["beat", "--loglevel", "INFO", "--pidfile", ""]
        self._add("beat", self._launcher("beat", [*celery, *beat]))
        until(self.is_well, seconds=_START_SECONDS)
        for name in (*REAL_AGENTS, *OLD_AGENTS):
            self.agent_tokens[name] = until(partial(self._make_agent, name), seconds=_START_SECONDS)
        for name in REAL_AGENTS:
            self._add(name, self._launch_agent(name))
        self._keeper.start()
        until(self._real_agents_are_online, seconds=_START_SECONDS)
        return self

    def _make_agent(self, name: str) -> str:
        """Return the token of a new agent; "" if the product, which has just started, is still busy."""
        status, agent = self.call("POST", "/agents", {"name": name})
        assert status in (201, 503), agent
        return str(agent["token"]) if status == 201 else ""

    def _start_stores(self, *, slow_database: bool) -> None:
        redis = PrivateRedis(self.folder / "redis", prefer_path=self.lane == MARIADB)
        self.redis_url = redis.url
        self._adopt("redis", redis, self.folder / "redis")
        self.mariadb: PrivateMariaDB | None = None
        url = direct = ""
        if self.lane == MARIADB:
            self.mariadb = PrivateMariaDB(self.folder / "data" / "mariadb")
            self._adopt("mariadbd", self.mariadb, self.folder / "data" / "mariadb")
            url = direct = self.mariadb.create_database("letserver")
            if slow_database:
                path = self.folder / "db.sock"
                self.database_link = Proxy(path, self.mariadb.socket)
                self.proxies.append(self.database_link)
                url = f"mysql://root@/letserver?unix_socket={path}"
        known = {setting.name for setting in SETTINGS}
        scaled = {name: value for name, value in SCALED.items() if name in known}
        self.environment = clean_environment(
            **scaled,
            DJANGO_SETTINGS_MODULE="letserver.settings",
            LETSERVER_DATA=str(self.folder / "data"),
            LETSERVER_SECRET_KEY="a key that signs nothing outside of this run of the faults",
            LETSERVER_DATABASE_URL=direct,
            LETSERVER_REDIS_URL=self.redis_url,
            PYTHONUNBUFFERED="1",
        )
        del self.environment["LETSERVER_VENV"]
        self._web_environment = {**self.environment, "LETSERVER_DATABASE_URL": url}

    def _adopt(self, name: str, server: PrivateServer, folder: Path) -> None:
        """Watch a server that runs already."""
        log = self.folder / "logs" / f"{name}.log"

        def launch() -> PrivateServer:
            return PrivateServer(server.command, folder=folder, log=log, environment=clean_environment())

        self.parts[name] = Part(name, launch, server, starts=1)

    def _add(self, name: str, launch: Callable[[], PrivateServer]) -> None:
        self.parts[name] = Part(name, launch)
        self.parts[name].start()

    def _launcher(self, name: str, command: Sequence[str]) -> Callable[[], PrivateServer]:
        log = self.folder / "logs" / f"{name}.log"
        return lambda: PrivateServer(command, folder=ROOT, log=log, environment=self.environment)

    def _launch_web(self, name: str) -> Callable[[], PrivateServer]:
        log = self.folder / "logs" / f"{name}.log"

        def launch() -> PrivateServer:
            with self._web_port.take() as listener:
                descriptor = listener.fileno()
                command = [sys.executable, "-m", "letserver.web", "--fd", str(descriptor)]
                return PrivateServer(
                    command, folder=ROOT, log=log, environment=self._web_environment, descriptors=[descriptor]
                )

        return launch

    def _launch_agent(self, name: str) -> Callable[[], PrivateServer]:
        home = self.folder / name
        home.mkdir(mode=0o700)
        runs = self.evidence / "runs.jsonl"
        server = self.client_base
        lines = [
            f'token: "{self.agent_tokens[name]}"',
            f"server: {server}",
            "templates:",
            "  - name: work",
            f'    temp: "{sys.executable} -I -S {_COMMAND} {runs} {name} %s %s"',
        ]
        configuration = home / "skadi.yml"
        configuration.touch(mode=0o600)
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        environment = {key: value for key, value in clean_environment().items() if key != "LETSERVER_VENV"}
        environment["SKADI_STATE_DIR"] = str(home / "state")
        command = [sys.executable, "-m", "tests.faults.agent", "--config", str(configuration)]
        return lambda: PrivateServer(
            command, folder=ROOT, log=self.folder / "logs" / f"{name}.log", environment=environment
        )

    def _manage(self, *arguments: str, stdin: str = "") -> str:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"manage.py {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    # --- looking

    @property
    def client_base(self) -> str:
        """The address for agents and submitters."""
        if self.link is None:
            return self.base
        assert isinstance(self.link.address, tuple)
        return f"http://{self.link.address[0]}:{self.link.address[1]}"

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make one call as the owner, past every proxy. Raises OSError or HTTPException without an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Content-Type": "application/json"}
            if self.user_token:
                headers["Authorization"] = f"Bearer {self.user_token}"
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        finally:
            connection.close()

    def is_well(self) -> bool:
        """Return whether the web answers."""
        try:
            return self.call("GET", "/status")[0] == 204
        except (OSError, http.client.HTTPException):
            return False

    def _real_agents_are_online(self) -> bool:
        status, agents = self.call("GET", "/agents")
        return status == 200 and {item["name"] for item in agents["items"] if item["online"]} >= set(REAL_AGENTS)

    def connect(self) -> Any:
        """Return a connection of the database's own module (DB-API 2), past every proxy."""
        if self.mariadb is None:
            return sqlite3.connect(self.folder / "data" / "letserver.sqlite3")
        import MySQLdb

        return MySQLdb.connect(
            unix_socket=str(self.mariadb.socket), user="root", database="letserver", charset="utf8mb4", autocommit=True
        )

    def unfinished_jobs(self) -> list[tuple[str, str]]:
        """Return (id, status) of every job that has not ended. Raises database errors."""
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute("SELECT id, status FROM jobs_job WHERE status IN ('queuing', 'sent', 'running')")
            return [(str(row[0]), str(row[1])) for row in cursor.fetchall()]
        finally:
            connection.close()

    # --- faults

    def kill(self, name: str) -> None:
        """Kill the process with -9, but not its group: its children must handle that. The keeper starts it again."""
        part = self.parts[name]
        with part.lock:
            os.kill(part.pid, signal.SIGKILL)
            assert part.server is not None
            part.server.process.wait()

    def freeze(self, name: str) -> None:
        """Stop the whole group with SIGSTOP and wait until it is stopped."""
        os.killpg(self.parts[name].pid, signal.SIGSTOP)
        until(lambda: _state(self.parts[name].pid) == "T", seconds=5)

    def thaw(self, name: str) -> None:
        """Continue the group with SIGCONT."""
        with suppress(ProcessLookupError):
            os.killpg(self.parts[name].pid, signal.SIGCONT)

    def take_away(self, name: str) -> None:
        """Stop it with SIGTERM and keep it down until `bring_back`."""
        part = self.parts[name]
        with part.lock:
            part.wanted = False
            if part.server is not None:
                part.server.stop()

    def bring_back(self, name: str) -> None:
        """Start a process that was taken away."""
        self.parts[name].wanted = True
        self.parts[name].start()

    def restart(self, name: str) -> None:
        """Stop it with SIGTERM and start it at once."""
        self.take_away(name)
        self.bring_back(name)

    def heal(self) -> None:
        """End every lasting fault, and return when the web answers."""
        for proxy in self.proxies:
            proxy.heal()
        for part in self.parts.values():
            if part.is_alive:
                self.thaw(part.name)
            self.bring_back(part.name)
        until(self.is_well, seconds=_START_SECONDS)

    def _keep(self) -> None:
        """Restart dead processes. The kernel kills a child when its forking thread ends: this thread lasts longest."""
        while not self._closing.wait(_LOOK_SECONDS):
            for part in self.parts.values():
                if part.lock.acquire(blocking=False):
                    try:
                        if part.wanted and not self._closing.is_set():
                            part.start()
                    finally:
                        part.lock.release()

    # --- ending

    def stop_server(self) -> None:
        """Stop everything but the databases, so that the rows are at rest."""
        for name in (*REAL_AGENTS, *WEBS, "worker", "beat"):
            self.take_away(name)

    def close(self, *, keep_logs_in: Path) -> None:
        """Stop every process and remove the folder; keep the logs."""
        self._closing.set()
        for part in self.parts.values():
            part.wanted = False
            if part.server is not None:
                self.thaw(part.name)
                part.server.kill()
        if self._keeper.is_alive():
            self._keeper.join()
        for proxy in self.proxies:
            proxy.close()
        self._web_port.close()
        _end_leftovers(self.folder)
        shutil.copytree(self.folder / "logs", keep_logs_in, dirs_exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _end_leftovers(folder: Path) -> None:
    """Kill shims and commands of killed agents, found by the folder in their command lines."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if os.fsencode(folder) in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
