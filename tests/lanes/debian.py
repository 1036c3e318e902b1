"""Programs that the lanes need, and their Debian packages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ALSO_ON_PATH = "/usr/sbin:/usr/local/sbin"
_POLICY = Path("/usr/sbin/policy-rc.d")
_INSTALL_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One program or file that the machine needs, and the packages that install it."""

    name: str
    is_there: Callable[[], bool]
    packages: tuple[str, ...]


def _program(*names: str) -> Callable[[], bool]:
    path = os.environ.get("PATH", "") + os.pathsep + _ALSO_ON_PATH
    return lambda: any(shutil.which(name, path=path) for name in names)


def _mysqlclient_or(program: str) -> Callable[[], bool]:
    """A compiler is not needed if mysqlclient is installed."""
    return lambda: importlib.util.find_spec("MySQLdb") is not None or _program(program)()


def _python_headers() -> bool:
    header = Path(sysconfig.get_path("include"), "Python.h")
    return importlib.util.find_spec("MySQLdb") is not None or header.exists()


def _chinese_font() -> bool:
    try:
        found = subprocess.run(["fc-list", ":lang=zh-cn"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return False
    return bool(found.strip())


MARIADB_NEEDS = (
    Need(
        name="mariadbd",
        is_there=lambda: _program("mariadbd")() and _program("mariadb-install-db")(),
        packages=("mariadb-server-core", "mariadb-client-core"),
    ),
    Need(name="redis-server", is_there=_program("redis-server", "valkey-server"), packages=("redis-server",)),
    Need(
        name="the MySQL headers",
        is_there=_mysqlclient_or("mariadb_config"),
        packages=("default-libmysqlclient-dev", "pkg-config"),
    ),
    Need(name="a C compiler", is_there=_mysqlclient_or("gcc"), packages=("gcc", "libc6-dev")),
    Need(name="the headers of Python", is_there=_python_headers, packages=("python3-dev",)),
)
BROWSER_NEEDS = (
    Need(name="Chromium", is_there=_program("chromium", "chromium-browser", "google-chrome"), packages=("chromium",)),
    Need(name="a Chinese font", is_there=_chinese_font, packages=("fonts-noto-cjk", "fontconfig")),
)
TRANSLATION_NEEDS = (Need(name="gettext", is_there=_program("msgfmt"), packages=("gettext",)),)


def missing(needs: Sequence[Need]) -> list[Need]:
    """Return the needs that are not met."""
    return [need for need in needs if not need.is_there()]


def install(needs: Sequence[Need], *, log: Path) -> str:
    """Install their packages; return "", or a short reason why not."""
    packages = [package for need in needs for package in need.packages]
    if not shutil.which("apt-get"):
        return "no apt-get here to install it with"
    if os.geteuid() != 0:
        return f"not root; install it with: sudo apt-get install {' '.join(packages)}"
    print(f"  · installing Debian's packages: {' '.join(packages)} …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with log.open("ab") as output, _services_stay_off():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            try:
                subprocess.run(
                    ["apt-get", "-q", *command],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=_INSTALL_SECONDS,
                    check=command != ["update"],  # an old package list may be enough
                )
            except (subprocess.SubprocessError, OSError):
                return f"apt-get could not install {' '.join(packages)}, see {log}"
    left = missing(needs)
    return f"still missing after the installation: {', '.join(need.name for need in left)}" if left else ""


@contextmanager
def _services_stay_off() -> Iterator[None]:
    """Keep packages from starting servers: the tests start their own and never use a running one."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
