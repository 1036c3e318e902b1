"""One child process: how it is started, how it is restarted when it ends by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from letserver.environment import ROOT
from letserver.lifeline import die_with_parent
from letserver.up.folder import log_path, open_log
from letserver.up.port import WebPort
from letserver.up.words import tell_given_up, tell_restart

_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 10.0
# A process that has lived this long failed for a new reason, so its restarts begin again without delay.
_HEALTHY_SECONDS = 30.0
_TOLD_FAILURES = 7
# sysexits.h EX_CONFIG: what the agent ends with when the server refuses its token. Trying again changes nothing.
_REFUSES_CONFIGURATION = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The command of a child. Children of a higher stage stop first; `port` gives each start a listening socket."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path = ROOT
    stage: int
    port: WebPort | None = None


def spawn(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path = ROOT,
    descriptors: Sequence[int],
    output: IO[bytes],
    result: int | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that ends when the supervisor does.

    Call it from the main thread only: the kernel's promise hangs on the thread that forks. `preexec_fn` is safe here
    because the supervisor has no other thread. Without `result`, stdout goes to `output` like stderr.
    """
    supervisor = os.getpid()
    return subprocess.Popen(
        list(arguments),
        cwd=folder,
        env=dict(environment),
        stdin=stdin,
        stdout=output if result is None else result,
        stderr=output,
        pass_fds=tuple(descriptors),
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(signal.SIGKILL, expected_parent=supervisor),
    )


@dataclass(slots=True, kw_only=True)
class Child:
    """A program and its present process, if it has one."""

    program: Program
    data: Path
    lock_descriptor: int
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    given_up: bool = False
    due: float = field(default=0.0)
    _started: float = field(default=0.0)

    @property
    def log(self) -> Path:
        """Return where it writes."""
        return log_path(self.data, self.program.name)

    def start(self) -> None:
        """Start the process. A port taken by another program meanwhile counts as a failed start."""
        arguments = list(self.program.arguments)
        descriptors = [self.lock_descriptor]
        listener = None
        if self.program.port is not None:
            try:
                listener = self.program.port.take()
            except OSError as error:
                self._put_off(how_zh=f"无法监听端口（{error.strerror}）", how_en=f"cannot listen ({error.strerror})")
                return
            listener.set_inheritable(True)
            descriptors.append(listener.fileno())
            arguments += ["--fd", str(listener.fileno())]
        try:
            with open_log(self.data, self.program.name) as log:
                log.write(f"--- {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z start\n".encode())
                log.flush()
                self.process = spawn(
                    arguments,
                    environment=self.program.environment,
                    folder=self.program.folder,
                    descriptors=descriptors,
                    output=log,
                )
        finally:
            if listener is not None:
                listener.close()
        self._started = time.monotonic()

    def ended(self, exit_code: int) -> None:
        """Note that the process ended by itself, say so, and set the time of the next start."""
        self.process = None
        if exit_code == _REFUSES_CONFIGURATION:
            self.given_up = True
            tell_given_up(name=self.program.name, log=self.log)
            return
        if time.monotonic() - self._started >= _HEALTHY_SECONDS:
            self.failures = 0
        if exit_code < 0:
            name = signal.Signals(-exit_code).name
            self._put_off(how_zh=f"被 {name} 终止", how_en=f"was ended by {name}")
        else:
            self._put_off(how_zh=f"退出（状态 {exit_code}）", how_en=f"exited with status {exit_code}")

    def _put_off(self, *, how_zh: str, how_en: str) -> None:
        delay = min(_FIRST_DELAY_SECONDS * 2**self.failures, _LONGEST_DELAY_SECONDS)
        self.failures += 1
        self.due = time.monotonic() + delay
        if self.failures <= _TOLD_FAILURES:
            tell_restart(
                name=self.program.name,
                how_zh=how_zh,
                how_en=how_en,
                delay_seconds=delay,
                log=self.log,
                last=self.failures == _TOLD_FAILURES,
            )

    def ask_to_end(self) -> None:
        """Send SIGTERM to the process alone: a Celery worker looks after its own children."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and everything in its group: it leads a session of its own."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
