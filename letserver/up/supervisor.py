"""Keeps the children of one instance running, and ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from letserver.lifeline import living_children
from letserver.up.children import Child, Program, spawn
from letserver.up.folder import log_path, open_log, put_long_log_aside, tail
from letserver.up.signals import Signals
from letserver.up.words import Refusal

# How long each stage may take to end by itself: the agent, the server's processes, Redis. Under 5 s in all.
_STAGE_SECONDS = {2: 1.0, 1: 2.4, 0: 0.6}
_LONGEST_SLEEP_SECONDS = 10.0


class Supervisor:
    """Single-threaded: one loop reaps, restarts and sleeps."""

    def __init__(self, *, data: Path, lock_descriptor: int, signals: Signals) -> None:
        self._data = data
        self._lock_descriptor = lock_descriptor
        self._signals = signals
        self.children: list[Child] = []
        self._step: subprocess.Popen[bytes] | None = None

    def start(self, program: Program) -> Child:
        """Start a program that is to stay."""
        child = Child(program=program, data=self._data, lock_descriptor=self._lock_descriptor)
        self.children.append(child)
        child.start()
        return child

    def run_step(
        self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], stdin: str = "", seconds: float
    ) -> str:
        """Run a command to its end and return its standard output; what else it says goes to its log.

        Raises Refusal with the end of that log when it fails or takes longer than `seconds`, Stopping when asked to.
        """
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as given, open_log(self._data, name) as log:
            given.write(stdin.encode())
            given.seek(0)
            step = self._step = spawn(
                arguments,
                environment=environment,
                descriptors=[self._lock_descriptor],
                output=log,
                result=output.fileno(),
                stdin=given.fileno(),
            )
            deadline = time.monotonic() + seconds
            while step.returncode is None and time.monotonic() < deadline:
                self.tick(deadline - time.monotonic())
            self._end_step()
            if step.returncode != 0:
                path = log_path(self._data, name)
                raise Refusal(
                    f"“{name}”没有成功，日志：{path}",
                    f"“{name}” did not succeed; its log: {path}",
                    details=tail(path),
                )
            output.seek(0)
            return output.read().decode()

    def tick(self, longest_seconds: float = _LONGEST_SLEEP_SECONDS) -> None:
        """Sleep until something happens, reap ended children, start due ones, cut long logs. Raises Stopping."""
        now = time.monotonic()
        self._signals.sleep(min([longest_seconds, *(child.due - now for child in self._waiting())]))
        self._signals.check()
        self._reap()
        for child in self._waiting():
            if child.due <= time.monotonic():
                child.start()
        for child in self.children:
            put_long_log_aside(self._data, child.program.name)

    def _waiting(self) -> list[Child]:
        return [child for child in self.children if child.process is None and not child.given_up]

    def stop(self) -> None:
        """End everything in reverse order; a second request to stop cuts the waiting short."""
        self._end_step()
        patience = max(self._signals.stop_requests, 1)
        for stage in sorted({child.program.stage for child in self.children}, reverse=True):
            members = [child for child in self.children if child.program.stage == stage]
            for child in members:
                child.given_up = True
                child.ask_to_end()
            deadline = time.monotonic() + _STAGE_SECONDS[stage]
            while any(child.process for child in members):
                if time.monotonic() > deadline or self._signals.stop_requests > patience:
                    for child in members:
                        child.kill()
                self._reap(stopping=True)
                if any(child.process for child in members):
                    self._signals.sleep(0.05)
        self._end_orphans()

    def _end_step(self) -> None:
        if self._step is not None and self._step.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._step.pid, signal.SIGKILL)
            _, status = os.waitpid(self._step.pid, 0)
            self._step.returncode = os.waitstatus_to_exitcode(status)
        self._step = None

    def _reap(self, *, stopping: bool = False) -> None:
        """Collect every child that ended, adopted orphans included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            exit_code = os.waitstatus_to_exitcode(status)
            if self._step is not None and self._step.pid == pid:
                self._step.returncode = exit_code
            for child in self.children:
                if child.process is not None and child.process.pid == pid:
                    child.process.returncode = exit_code
                    if stopping:
                        child.process = None
                    else:
                        child.ended(exit_code)

    def _end_orphans(self) -> None:
        """Kill what children left behind, such as commands that the agent was running."""
        deadline = time.monotonic() + 0.5
        while (orphans := living_children()) and time.monotonic() < deadline:
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._signals.sleep(0.01)
            self._reap(stopping=True)
