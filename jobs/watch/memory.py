"""The memory between runs: bounded in size, stored as JSON.

Example. A policy with `mode: diff` sees the outputs "a b", "a c", "a c":

    run 1   lines ("a", "b")   known False -> True, first run, no notice
    run 2   lines ("a", "c")   added ("c",), removed ("b",): one notice, then the memory holds ("a", "c")
    run 3   lines ("a", "c")   equal to the memory: no notice, the memory stays as it is

With `confirm: 2`, run 2 stores `pending` (a digest of the change) and `times` 1 and keeps the lines ("a", "b"); run 3
finds the same change, so `times` becomes 2, the notice goes out, and the memory holds ("a", "c").
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kernel.strictjson import JsonObject

MEMORY_LIMIT = 64 * 1024
"""Limit in bytes for a memory as JSON with every character above ASCII escaped."""

MARK_LENGTH = 8
_ROOM = 60_000  # the other fields need less than the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The state that the next run is compared with. Times are seconds since 1970.

    - `basis`: digest of the way to compare. A memory of another basis has no baseline for the new one.
    - `known`: whether there is a baseline.
    - `lines`, `rest`: the baseline; the lines that fit as text, the others as marks (`mark`).
    - `seen`: pairs (time, marks of the elements last seen then), newest first. The oldest are dropped for room.
    - `value`: the last number.
    - `pending`, `times`: digest of a change that waits for `confirm`, and how many runs in a row showed it.
    - `failures`: failures in a row. `alerted`: a failure was reported, its recovery was not yet.
    - `told`: pairs (kind, time of the last notice of that kind).
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
        """Return this memory for a way to compare. If the basis changed, the baseline is dropped."""
        if self.basis == basis:
            return self
        return Memory(basis=basis, failures=self.failures, alerted=self.alerted, told=self.told)

    def with_text(self, lines: Sequence[str]) -> Memory:
        """Return this memory with these lines as its baseline."""
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
        """Return the marks of the baseline lines that are not stored as text."""
        return _parted(self.rest)

    def last_seen(self) -> dict[str, int]:
        """Return the time at which each element was last seen, by its mark."""
        return {one: at for at, marks in reversed(self.seen) for one in _parted(marks)}

    def with_seen(self, last_seen: Mapping[str, int]) -> Memory:
        """Return this memory with these elements; the oldest are dropped if there are too many."""
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
        """Return the time of the last notice of this kind in seconds since 1970, or None."""
        return dict(self.told).get(kind)

    def with_told(self, kind: str, at: dt.datetime) -> Memory:
        """Return this memory after a notice of this kind at that time."""
        return replace(self, told=tuple(sorted({**dict(self.told), kind: seconds(at)}.items())))

    def to_json(self) -> JsonObject:
        """Return the form that `from_json` reads. Fields with their default value are left out."""
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
        """Return the memory that `to_json` wrote. Raises ValueError for anything else."""
        try:
            return cls._read(data)
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError("not a memory") from error

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
    """Return a short digest of a text: 48 bits as eight characters.

    A thousand lines against ten thousand marks collide once in about 28 million runs.
    """
    return base64.urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=6).digest()).decode()


def digest(texts: Iterable[str]) -> str:
    """Return a digest of several texts and their order: sixteen characters."""
    return hashlib.blake2b(json.dumps(list(texts)).encode(), digest_size=8).hexdigest()


def seconds(at: dt.datetime) -> int:
    """Return a time as whole seconds since 1970."""
    return int(at.timestamp())


def _parted(marks: str) -> list[str]:
    return [marks[at : at + MARK_LENGTH] for at in range(0, len(marks), MARK_LENGTH)]
