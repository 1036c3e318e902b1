"""The clock matrix: which process has a wrong clock, by how much, and what then fired early, late, twice or never."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.clocks.rig import PARTS, Rig
from tests.waiting import until

SHIFTS = {"4 s": 4.0, "1 h": 3600.0, "1 day": 86400.0}
LATE_SECONDS = 10.0
"""A start later than this after it was due is late. Due work starts within about a second."""

_NEVER_SECONDS = 30.0
_SOON_SECONDS = (1.5, 1.7, 1.9)
_FAR_SECONDS = (1800.0, 43200.0)
_HEADING = "clock of        by  how       due  early  late  double  never  shifted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """`who` is a part, or `all`. `starts`: they start under the wrong clock; otherwise it is set as they run."""

    who: str
    by: str
    sign: int
    starts: bool = False

    @property
    def parts(self) -> Sequence[str]:
        """The processes with wrong clocks."""
        return PARTS if self.who == "all" else (self.who,)

    @property
    def seconds(self) -> float:
        """By how much."""
        return self.sign * SHIFTS[self.by]


ALL = [
    Cell(who=who, by=by, sign=sign, starts=starts)
    for who in (*PARTS, "all")
    for by in SHIFTS
    for sign in (1, -1)
    for starts in (False, True)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The counts of a cell: `due` things had to happen near their time, once."""

    cell: Cell
    due: int
    early: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    never: list[str] = field(default_factory=list)
    unshifted: list[str] = field(default_factory=list)
    """Parts that never saw the wrong time: the fault did not land there."""

    @property
    def is_good(self) -> bool:
        """Whether everything happened in time, once, although each clock was wrong."""
        return not (self.early or self.late or self.double or self.never or self.unshifted)

    def line(self) -> str:
        """Return a line of the table."""
        cell = self.cell
        how = "started" if cell.starts else "set"
        by = f"{'+' if cell.sign > 0 else '-'}{cell.by}"
        numbers = f"{self.due:>4}{len(self.early):>7}{len(self.late):>6}{len(self.double):>8}{len(self.never):>7}"
        landed = len(cell.parts) - len(self.unshifted)
        return f"{cell.who:<10}{by:>8}  {how:<9}{numbers}{landed:>7}/{len(cell.parts)}"


def table(rows: Sequence[Counts]) -> str:
    """Return all lines."""
    return "\n".join([_HEADING, *(row.line() for row in rows)])


def run_cell(rig: Rig, cell: Cell, *, restart: bool = True) -> Counts:
    """Set the clocks wrong, order work that is due now, soon and late, set them right, and count.

    Without `restart` the processes of the cell were started under the wrong clock already.
    """
    before = {part: rig.clocks[part].answers for part in cell.parts}
    far = [_order(rig, agent="timed", message=f"work 0 far{n}", at=_wall(s)) for n, s in enumerate(_FAR_SECONDS)]
    rig.set_clocks(cell.parts, cell.seconds)
    if cell.starts and restart:
        rig.restart(cell.parts)
    work = _Work(rig)
    work.wait()
    seen = {part: rig.clocks[part].answers for part in cell.parts}
    rig.set_clocks(cell.parts, 0)
    work.wait_for_all()
    return work.count(cell, far, unshifted=[part for part in cell.parts if seen[part] == before[part]])


class _Work:
    """The orders of one cell, with the monotonic time at which each is due."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._jobs: dict[str, float] = {}
        self._delayed: dict[str, float] = {}
        self._posts: dict[str, float] = {}
        now = time.monotonic()
        for number in range(2):
            status, job = rig.call("POST", "/jobs", {"agent": "timed", "message": f"work 0 now{number}"})
            assert status == 201, job
            self._jobs[job["id"]] = now
        for number, seconds in enumerate(_SOON_SECONDS):
            due, at = time.monotonic() + seconds, _wall(seconds)
            self._delayed[_order(rig, agent="timed", message=f"work 0 soon{number}", at=at)] = due
            self._posts[_order(rig, url=rig.sink.url, message=f"post {number}", at=at)] = due
        # A duration is counted by the server, from some moment while it answers.
        due = time.monotonic() + 2.0
        self._delayed[_order(rig, agent="timed", message="work 0 after", delay=2)] = due

    def wait(self) -> None:
        """Return when everything has happened, or is late while the clock is still wrong."""
        self._wait(LATE_SECONDS + max(_SOON_SECONDS) + 1.0)

    def wait_for_all(self) -> None:
        """Return when everything has happened, or never will."""
        self._wait(_NEVER_SECONDS)

    def _wait(self, seconds: float) -> None:
        try:
            until(lambda: not self._missing(), seconds=seconds)
        except AssertionError:
            return  # it is counted

    def _happened(self) -> dict[str, list[float]]:
        """Return the times at which each thing happened, by its id."""
        of_job = {job: job for job in self._jobs}
        for delayed in self._delayed:
            status, row = self._rig.call("GET", f"/delayed-jobs/{delayed}")
            if status == 200 and row["job_id"]:
                of_job[row["job_id"]] = delayed
        found: dict[str, list[float]] = {one: [] for one in self._due}
        for at, job in self._rig.runs():
            if job in of_job:
                found[of_job[job]].append(at)
        for at, post in list(self._rig.sink.arrivals):
            if post in self._posts:
                found[post].append(at)
        return found

    @property
    def _due(self) -> dict[str, float]:
        return {**self._jobs, **self._delayed, **self._posts}

    def _missing(self) -> list[str]:
        return [one for one, times in self._happened().items() if not times]

    def count(self, cell: Cell, far: Sequence[str], *, unshifted: list[str]) -> Counts:
        """Return the counts, and cancel what is due much later."""
        happened = self._happened()
        first = {one: times[0] for one, times in happened.items() if times}
        early = [one for one, at in first.items() if at < self._due[one]]
        for one in far:
            _status, row = self._rig.call("DELETE", f"/delayed-jobs/{one}")
            early += [one] if row.get("state") != "canceled" else []
        return Counts(
            cell=cell,
            due=len(self._due),
            early=early,
            late=[one for one, at in first.items() if at > self._due[one] + LATE_SECONDS],
            double=[one for one, times in happened.items() if len(times) > 1],
            never=[one for one, times in happened.items() if not times],
            unshifted=unshifted,
        )


def _wall(seconds: float) -> str:
    """Return the time in `seconds` by this process's clock, which is right."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat()


def _order(rig: Rig, *, at: str | None = None, delay: int | None = None, **fields: Any) -> str:
    moment = {"run_at": at} if delay is None else {"delay": delay}
    status, row = rig.call("POST", "/delayed-jobs", {**fields, **moment})
    assert status == 201, row
    return str(row["id"])
