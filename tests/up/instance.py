"""One run of `make up`, seen from outside: what it prints, what it answers, which processes it has."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.lanes.live import free_port
from tests.lanes.services import ROOT
from tests.waiting import until

READY_SECONDS = 60.0


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without the lane's settings and without what an outer make left."""
    ours = ("LETSERVER_", "DJANGO_", "MAKE", "MFLAGS", "PYTEST")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "LETSERVER_VENV": sys.prefix, **more}


def processes_of(data: Path) -> dict[int, str]:
    """Return the command lines of the living processes of this data folder, by id.

    Processes whose environment names the folder, and processes that hold its lock: Redis overwrites its environment
    with its title.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.fsencode(data) in (entry / "environ").read_bytes() or _has_open(entry, data / "lock"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return {pid: line for pid, line in found.items() if line}


def _has_open(process: Path, file: Path) -> bool:
    return any(os.readlink(link) == str(file) for link in (process / "fd").iterdir())


class Instance:
    """`make up` with a folder and a port of its own, in a session of its own like a terminal's foreground job."""

    def __init__(self, data: Path, *, port: int = 0, **environment: str) -> None:
        self.data = data
        self.port = port or free_port()
        self.refused = False
        self.log = data.parent / f"up-{self.port}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self.make = subprocess.Popen(
                ["make", "up", f"PYTHON={sys.executable}"],
                cwd=ROOT,
                env=clean_environment(LETSERVER_DATA=str(data), LETSERVER_PORT=str(self.port), **environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def output(self) -> str:
        """Return what it has printed."""
        return self.log.read_text(encoding="utf-8")

    def wait_until_ready(self) -> Instance:
        """Return once it says that it is ready."""
        until(lambda: "Ctrl-C" in self.output() or self.make.poll() is not None, seconds=READY_SECONDS)
        assert self.make.poll() is None, self.output()
        return self

    def wait_for_refusal(self) -> str:
        """Return what it says when it ends by itself, with a status that is not 0."""
        assert self.make.wait(READY_SECONDS) != 0, self.output()
        self.refused = True
        return self.output()

    @property
    def token(self) -> str:
        """Return the user token that it printed."""
        found = re.search(r"lsu_[0-9A-Za-z]{36}", self.output())
        assert found, self.output()
        return found.group(0)

    @property
    def credentials(self) -> str:
        """Return the printed lines of login and token."""
        return "\n".join(re.findall(r"^ .*(?:Staff login|User token).*$", self.output(), re.MULTILINE))

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make one call with the printed token."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        finally:
            connection.close()

    def paste_the_printed_command(self) -> Any:
        """Do what a shell would do with the printed curl line; return the answer's JSON."""
        (line,) = re.findall(r"^curl .*$", self.output(), re.MULTILINE)
        words = shlex.split(line)
        url = urlsplit(words[-1])
        assert url.port == self.port
        assert f"Authorization: Bearer {self.token}" in words
        status, body = self.call("POST", f"{url.path}?{url.query}", json.loads(words[words.index("-d") + 1]))
        assert status == 201, body
        return body

    def is_well(self) -> bool:
        """Tell whether the web answers."""
        try:
            return self.call("GET", "/status")[0] == 204
        except (OSError, http.client.HTTPException):
            return False

    def processes(self) -> dict[int, str]:
        """Return its living processes."""
        return processes_of(self.data)

    def find(self, words: str) -> set[int]:
        """Return the ids of its processes whose command line has these words."""
        return {pid for pid, line in self.processes().items() if words in line}

    def kill(self, pid: int) -> None:
        """End a process with -9."""
        os.kill(pid, signal.SIGKILL)

    @property
    def supervisor(self) -> int:
        """Return the supervisor's id."""
        (pid,) = self.find("-m letserver.up")
        return pid

    def press_ctrl_c(self) -> float:
        """Send what a terminal sends; return how many seconds it took until everything had ended."""
        began = time.monotonic()
        os.killpg(self.make.pid, signal.SIGINT)
        self.make.wait(20)
        until(lambda: not self.processes(), seconds=20)
        return time.monotonic() - began

    def end(self) -> None:
        """Leave nothing running, however the test went."""
        if self.refused:
            return  # another instance runs on this folder now
        for pid in [self.make.pid, *self.processes()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.make.wait()
        until(lambda: not self.processes(), seconds=20)
