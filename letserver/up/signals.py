"""Signals as a flag and something to sleep on.

The handlers do nothing else, so no step of the supervisor is torn in the middle: a fork is always recorded, a file
always renamed.
"""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping(Exception):
    """A signal asked the supervisor to stop."""


class Signals:
    """Counts requests to stop; wakes `sleep` for those and when a child ends."""

    def __init__(self) -> None:
        self.stop_requests = 0
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _STOPPING:
            # nohup ignores the hang-up on purpose.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, self._wake)

    def check(self) -> None:
        """Raise Stopping once the end was asked for."""
        if self.stop_requests:
            raise Stopping

    def sleep(self, seconds: float) -> None:
        """Wait for a signal, at most this number of seconds."""
        select.select([self._reader], [], [], max(0.0, seconds))
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        """Only the wake-up descriptor matters."""
