"""Run the real agent as a process, and wait for conditions instead of for time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
TOKEN = "a" * 20
T = TypeVar("T")

SAMPLE = """\
shortcuts:
  - short: date
    cmd: "date --rfc-3339=second"
  - short: lsroot
    dir: /
    cmd: ls
commands:
  - prefix: free
templates:
  - name: Hi
    temp: "echo I am not %s!"
"""


def wait_until(condition: Callable[[], T], seconds: float = 10.0, what: str = "") -> T:
    """Return the first true value of a condition. Raises AssertionError after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"did not happen within {seconds} s: {what or condition}")
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class AgentProcess:
    """An agent with its own folder: `skadi.yml`, `state/` and its stderr."""

    def __init__(self, home: Path, server: str, entries: str = SAMPLE, top: str = "") -> None:
        self.home = home
        self.config = home / "skadi.yml"
        self.state = home / "state"
        self.errors = home / "stderr"
        self.process: subprocess.Popen[bytes] | None = None
        self.write(f'token: "{TOKEN}"\nserver: {server}\n{top}{entries}')

    def write(self, text: str) -> None:
        self.config.write_text(text, encoding="utf-8")
        self.config.chmod(0o600)

    def start(
        self, python: str = sys.executable, constants: str = "", env: dict[str, str] | None = None
    ) -> AgentProcess:
        """Start the program. `constants` is Python text that runs first, to shorten times."""
        program = ["-m", "skadi"]
        if constants:
            program = [
                "-c",
                f"import sys\nfrom skadi import cli, pace, poller, reporter\n{constants}\nsys.exit(cli.main())",
            ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SKADI", "CONFIGOR"))}
        environment.update(SKADI_STATE_DIR=str(self.state), PYTHONDONTWRITEBYTECODE="1", **(env or {}))
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [python, *program, "--config", str(self.config)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def log(self) -> str:
        return self.errors.read_text(encoding="utf-8", errors="replace") if self.errors.exists() else ""

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 10.0) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> None:
        """Leave no process behind: shims hold job folders, and their pids are in `started`."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for started in self.state.glob("jobs/*/started"):
            pid = int(started.read_text() or 0)
            if pid and alive(pid) and str(started.parent) in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGTERM)

    def job_dir(self, job_id: str) -> Path:
        return self.state / "jobs" / job_id


def other_pythons() -> list[str]:
    """Return every Python from 3.8 on this machine, one path for each version."""
    folders = [Path(name) for name in os.environ.get("PATH", "").split(os.pathsep) if name]
    folders += [Path("/usr/bin"), Path("/usr/local/bin"), *Path.home().glob(".pyenv/versions/*/bin")]
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.glob("python3*")):
            if not re.fullmatch(r"python3(\.[0-9]+)?", path.name) or not os.access(path, os.X_OK):
                continue
            asked: Any = subprocess.run(
                [
                    str(path),
                    "-c",
                    "import sys; print('%d.%d.%d' % sys.version_info[:3]); sys.exit(sys.version_info < (3, 8))",
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            if asked.returncode == 0:
                found.setdefault(asked.stdout.decode().strip(), str(path))
    return [found[version] for version in sorted(found, key=lambda text: [int(part) for part in text.split(".")])]
