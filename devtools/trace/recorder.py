"""Records which functions of the product are entered, in all threads."""

from __future__ import annotations

import dis
import functools
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("kernel", "accounts", "notifications", "agents", "jobs", "chat", "letserver")

_PATHS = tuple(f"{ROOT / room}/" for room in ROOMS)
_CURSOR = "django/db/backends/utils.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of the product; `path` is relative to the checkout."""

    path: str
    name: str
    line: int


@dataclass(slots=True)
class Recording:
    """One run. `entries` holds (function, thread) in order; `insert` is where the first row entered the watched table.

    `insert` is (number of entries before it, thread), or None.
    """

    entries: list[tuple[Function, int]] = field(default_factory=list)
    insert: tuple[int, int] | None = None

    def functions(self) -> Counter[Function]:
        """Return how often each function was entered."""
        return Counter(function for function, _thread in self.entries)

    def until_insert(self) -> Recording:
        """Return only what the inserting thread entered before the insert."""
        if self.insert is None:
            raise RuntimeError("the call wrote no row into the watched table")
        count, thread = self.insert
        return Recording(entries=[entry for entry in self.entries[:count] if entry[1] == thread])


def entered_in_each(runs: Sequence[Recording]) -> Counter[Function]:
    """Return the functions that every run entered, in the order of the last run, with their lowest counts."""
    counts = [run.functions() for run in runs]
    lowest = functools.reduce(lambda one, other: one & other, counts)
    return Counter({function: lowest[function] for function in counts[-1] if function in lowest})


class Recorder:
    """Profiles every thread that starts after `install`, and the calling one. Records only inside `recording`."""

    def __init__(self, *, watched_table: str) -> None:
        self._insert = (f'INSERT INTO "{watched_table}"', f"INSERT INTO `{watched_table}`")
        self._run: Recording | None = None

    def install(self) -> None:
        """Begin to see calls."""
        threading.setprofile(self._see)
        sys.setprofile(self._see)

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Record what happens inside the block."""
        run = Recording()
        self._run = run
        try:
            yield run
        finally:
            self._run = None

    def _see(self, frame: FrameType, event: str, _argument: object) -> None:
        run = self._run
        if run is None or event != "call":
            return
        code = frame.f_code
        thread = threading.get_ident()
        if code.co_filename.startswith(_PATHS):
            if frame.f_lasti <= _first_instruction(code):
                run.entries.append((_function(code), thread))
        elif run.insert is None and _statement(frame).startswith(self._insert):
            run.insert = (len(run.entries), thread)


def _statement(frame: FrameType) -> str:
    """Return the SQL if the call gives Django's cursor a statement, else nothing."""
    code = frame.f_code
    is_cursor = code.co_name == "execute" and code.co_filename.endswith(_CURSOR)
    return str(frame.f_locals["sql"]) if is_cursor else ""


@functools.cache
def _first_instruction(code: CodeType) -> int:
    """Return the offset at which a call begins. A generator that goes on is at a later one."""
    return next(one.offset for one in dis.get_instructions(code) if (one.opname, one.arg) == ("RESUME", 0))


@functools.cache
def _function(code: CodeType) -> Function:
    path = Path(code.co_filename).relative_to(ROOT).as_posix()
    return Function(path=path, name=code.co_qualname, line=code.co_firstlineno)
