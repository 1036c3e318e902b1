"""The host's clock, believed only as far as the time since boot confirms it. It is the clock of an SQLite database.

Wall clock minus time since boot is one number, the offset, and only a step of the wall clock changes it. All processes
of a database share the offset that they believe, in a small file beside the database. If the wall clock steps by more
than a second, time goes on by the believed offset until one of three things confirms the new clock: the kernel says
that NTP has set it, staff say so (`accept`), or it stays as it is for an hour.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

logger = logging.getLogger(__name__)

STEP_NS = 1_000_000_000
"""A larger difference is a step, which needs a confirmation."""

CONFIRMED_AFTER_NS = 3600 * 1_000_000_000

_REFRESH_NS = 50_000_000
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_BYTES = 512  # more than struct timex has; zeros only ask


def steady_ns() -> int:
    """Return nanoseconds of a clock that cannot be set and that counts sleep: sleep does not look like a step."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic_ns()


def is_synchronized() -> bool:
    """Tell whether the kernel says that NTP keeps the clock. Setting the clock by hand ends that. False if unknown."""
    if sys.platform != "linux":
        return False
    answer: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return 0 <= answer < _TIME_ERROR


def boot_id() -> str:
    """Return the id of this boot, within which `steady_ns` of all processes compares; empty where there is none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Belief:
    """The file. `other`: an offset that nothing has confirmed yet, seen since `other_since` (steady)."""

    boot: str
    offset: int
    other: int | None = None
    other_since: int = 0


class HostClock:
    """The clock of one database. Any thread may ask it. Without a boot id it is the wall clock."""

    def __init__(
        self,
        path: Path,
        *,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = steady_ns,
        synchronized: Callable[[], bool] = is_synchronized,
        boot: str | None = None,
    ) -> None:
        self._path = path
        self._wall, self._steady, self._synchronized = wall, steady, synchronized
        self._boot = boot_id() if boot is None else boot
        self._lock = threading.Lock()
        self._belief: _Belief | None = None
        self._file_state: tuple[int, int] | None = None
        self._doubts = False

    def now_ns(self) -> int:
        """Return nanoseconds since 1970."""
        wall, steady = self._wall(), self._steady()
        if not self._boot:
            return wall
        with self._lock:
            belief = self._read()
            seen = wall - steady
            if belief is None or belief.boot != self._boot:
                self._write(_Belief(boot=self._boot, offset=seen))
                return wall
            if abs(seen - belief.offset) <= STEP_NS:
                if belief.other is not None or abs(seen - belief.offset) > _REFRESH_NS:
                    self._write(_Belief(boot=self._boot, offset=seen))
                self._note(belief, seen, doubts=False)
                return wall
            if self._is_confirmed(belief, seen, steady):
                self._write(_Belief(boot=self._boot, offset=seen))
                self._note(belief, seen, doubts=False)
                return wall
            if belief.other is None or abs(seen - belief.other) > STEP_NS:
                self._write(replace(belief, other=seen, other_since=steady))
            self._note(belief, seen, doubts=True)
            return steady + belief.offset

    def accept(self) -> float:
        """Believe the wall clock from now on, because staff say so; return by how many seconds that moves the time."""
        before = self.now_ns()
        with self._lock:
            wall = self._wall()
            self._write(_Belief(boot=self._boot, offset=wall - self._steady()))
            self._doubts = False
        return (wall - before) / 1e9

    def _is_confirmed(self, belief: _Belief, seen: int, steady: int) -> bool:
        if self._synchronized():
            return True
        stayed = belief.other is not None and abs(seen - belief.other) <= STEP_NS
        return stayed and steady - belief.other_since >= CONFIRMED_AFTER_NS

    def _note(self, belief: _Belief, seen: int, *, doubts: bool) -> None:
        """Log a step once, and once that it is over or believed."""
        if doubts != self._doubts:
            self._doubts = doubts
            seconds = round((seen - belief.offset) / 1e9, 3)
            action = "clock.step_doubted" if doubts else "clock.step_over"
            message = "wall clock stepped and is not believed" if doubts else "wall clock is believed"
            logger.warning(message, extra={"action": action, "seconds": seconds})

    def _read(self) -> _Belief | None:
        try:
            stat = os.stat(self._path)
            file_state = (stat.st_mtime_ns, stat.st_ino)
            if file_state != self._file_state:
                self._belief = _Belief(**json.loads(self._path.read_text(encoding="ascii")))
                self._file_state = file_state
        except FileNotFoundError:
            if self._file_state is not None:
                self._belief = self._file_state = None
        except (OSError, ValueError, TypeError) as error:
            logger.warning("clock file not read", extra={"action": "clock.file", "error": type(error).__name__})
        return self._belief

    def _write(self, belief: _Belief) -> None:
        """Replace the file. A disk that refuses leaves the belief to this process alone."""
        self._belief = belief
        if not self._boot:
            return
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                json.dump(asdict(belief), file)
            os.replace(fresh, self._path)
            stat = os.stat(self._path)
            self._file_state = (stat.st_mtime_ns, stat.st_ino)
        except OSError as error:
            logger.warning("clock file not written", extra={"action": "clock.file", "error": type(error).__name__})
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
