"""Ties processes to each other, so that nothing is left running when a parent is killed with -9.

Linux only (prctl); elsewhere the functions do nothing. They make plain system calls and nothing else, so they may run
between fork and exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _load_prctl() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)

    def prctl(option: int, value: int) -> int:
        return int(library.prctl(option, ctypes.c_ulong(value), 0, 0, 0))

    return prctl


# Looked up once at import: after a fork nothing may wait for the loader's lock.
_prctl = _load_prctl()


def die_with_parent(signal_number: int = signal.SIGKILL, *, expected_parent: int | None = None) -> None:
    """Ask the kernel to send `signal_number` to this process when its parent ends.

    It fires when the *thread* that forked ends (prctl(2)), so fork from a main thread only; exec keeps it, a further
    fork drops it. `expected_parent` is the id of the process that forked; None takes today's. A parent that ended
    before this call would never be noticed, so a process with another parent than that ends here.
    """
    parent = os.getppid() if expected_parent is None else expected_parent
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, int(signal_number))
        if os.getppid() != parent:
            os.kill(os.getpid(), signal_number)


def adopt_orphans() -> None:
    """Make orphans among this process's descendants its own children, so that it can end them too."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def living_children() -> list[int]:
    """Return the ids of this process's children, adopted ones included; empty where /proc does not tell."""
    parent = str(os.getpid())
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                # The name in parentheses may hold anything, blanks and parentheses too.
                state, parent_of_entry = stat.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # ended meanwhile
        if parent_of_entry == parent and state != "Z":
            found.append(int(entry))
    return found


def main() -> None:
    """`lifeline.py PARENT COMMAND...`: become COMMAND, to be ended when the process PARENT ends.

    Callers with threads start it, because none of their Python code may run between fork and exec.
    """
    die_with_parent(signal.SIGKILL, expected_parent=int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
