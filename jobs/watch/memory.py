"""What is kept from run to run, bounded, and as JSON."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kernel.strictjson import JsonObject

MEMORY_LIMIT = 64 * 1024
"""Bytes of a memory as JSON, where every letter beyond ASCII is escaped."""

MARK_LENGTH = 8
_ROOM = 60_000  # the other fields need less than the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """`known`: there is a baseline. `basis`: of which way to compare it is; under another one it is worth nothing.

    `lines`, `rest`: what the output had, as text while there is room, the rest as marks. `seen`: when items were last
    there (seconds since 1970) and their marks, newest first; the oldest are forgotten when there is no room. `value`:
    the last number. `pending`, `times`: a change that is not told yet, and how often in a row it was seen. `failures`:
    in a row. `alerted`: a failure was told and no recovery. `told`: when something of each kind was.
    """

    basis: str = ""
    known: bool = False
    lines: tuple[str, ...] = ()
    rest: str = ""
    seen: tuple[tuple[int, str], ...] = ()
    value: str = ""
    pending: str = ""
    times: int = 0
    failures: int = 0
    alerted: bool = False
    told: tuple[tuple[str, int], ...] = ()

    def on(self, basis: str) -> Memory:
        """Return this memory for another way to compare: without what was compared in the old one."""
        if self.basis == basis:
            return self
        return Memory(basis=basis, failures=self.failures, alerted=self.alerted, told=self.told)

    def with_text(self, lines: Sequence[str]) -> Memory:
        """Return this memory with these lines for a baseline."""
        room = _ROOM - MARK_LENGTH * len(lines)
        fitting = 0
        for line in lines:
            room -= len(json.dumps(line)) + len(", ") - MARK_LENGTH
            if room < 0:
                break
            fitting += 1
        rest = "".join(map(mark, lines[fitting:]))
        return replace(self, known=True, lines=tuple(lines[:fitting]), rest=rest)

    def marks_of_rest(self) -> list[str]:
        """Return the marks of the lines of which there is no text."""
        return _parted(self.rest)

    def last_seen(self) -> dict[str, int]:
        """Return when each item was last there, by its mark."""
        return {one: at for at, marks in reversed(self.seen) for one in _parted(marks)}

    def with_seen(self, last_seen: Mapping[str, int]) -> Memory:
        """Return this memory with these items, without the oldest if there are too many."""
        by_time: dict[int, list[str]] = {}
        for one, at in last_seen.items():
            by_time.setdefault(at, []).append(one)
        room = _ROOM
        kept = []
        for at in sorted(by_time, reverse=True):
            room -= len('[1234567890, ""], ')
            marks = sorted(by_time[at])[: max(room, 0) // MARK_LENGTH]
            room -= MARK_LENGTH * len(marks)
            if marks:
                kept.append((at, "".join(marks)))
        return replace(self, known=True, seen=tuple(kept))

    def told_at(self, kind: str) -> int | None:
        """Return when something of this kind was last told, in seconds since 1970."""
        return dict(self.told).get(kind)

    def with_told(self, kind: str, at: dt.datetime) -> Memory:
        """Return this memory after a notice."""
        return replace(self, told=tuple(sorted({**dict(self.told), kind: seconds(at)}.items())))

    def to_json(self) -> JsonObject:
        """Return what `from_json` takes; fields that are as in a new memory are left out."""
        fields: JsonObject = {
            "basis": self.basis,
            "known": self.known,
            "lines": list(self.lines),
            "rest": self.rest,
            "seen": [[at, marks] for at, marks in self.seen],
            "value": self.value,
            "pending": self.pending,
            "times": self.times,
            "failures": self.failures,
            "alerted": self.alerted,
            "told": dict(self.told),
        }
        return {name: value for name, value in fields.items() if value}

    @classmethod
    def from_json(cls, data: object) -> Memory:
        """Return the memory that `to_json` wrote. Raises ValueError for what it cannot have written."""
        try:
            return cls._read(data)
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError("this is no memory") from error

    @classmethod
    def _read(cls, data: object) -> Memory:
        if not isinstance(data, Mapping):
            raise TypeError
        return cls(
            basis=str(data.get("basis", "")),
            known=bool(data.get("known", False)),
            lines=tuple(map(str, data.get("lines", ()))),
            rest=str(data.get("rest", "")),
            seen=tuple((int(at), str(marks)) for at, marks in data.get("seen", ())),
            value=str(data.get("value", "")),
            pending=str(data.get("pending", "")),
            times=int(data.get("times", 0)),
            failures=int(data.get("failures", 0)),
            alerted=bool(data.get("alerted", False)),
            told=tuple((str(kind), int(at)) for kind, at in data.get("told", {}).items()),
        )


def mark(text: str) -> str:
    """Return eight characters by which a text is known again: 48 bits, so a thousand lines and ten thousand known ones
    meet by chance once in ten million runs."""
    return base64.urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=6).digest()).decode()


def digest(texts: Iterable[str]) -> str:
    """Return sixteen characters for several texts and their order."""
    return hashlib.blake2b(json.dumps(list(texts)).encode(), digest_size=8).hexdigest()


def seconds(at: dt.datetime) -> int:
    """Return whole seconds since 1970."""
    return int(at.timestamp())


def _parted(marks: str) -> list[str]:
    return [marks[at : at + MARK_LENGTH] for at in range(0, len(marks), MARK_LENGTH)]
