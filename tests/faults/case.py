"""Types of the rules: violations, the limits of a run, cases, and the life of a job by the specification."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults.records import Records

ENDS = frozenset({"succeeded", "failed", "expired", "canceled"})
ACTIVE = frozenset({"sent", "running"})
OUTCOMES = {"succeed": "succeeded", "fail": "failed"}
CHANGES = frozenset(
    {
        ("", "queuing"),
        ("queuing", "sent"),
        ("sent", "queuing"),
        ("sent", "running"),
        ("running", "running"),
        ("sent", "sent"),  # The owner requested a cancel; the agent does not know yet.
        *((before, after) for before in ACTIVE for after in ENDS),
        ("queuing", "expired"),
        ("queuing", "canceled"),
        ("expired", "succeeded"),
        ("expired", "failed"),
    }
)
"""Every step of the specification, from T1 to T7; a cancel request keeps the status."""
LATE = dt.timedelta(days=7)
RESULT_CHARACTERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A violated guarantee: the invariant, the job's id ("" without one), and the finding."""

    invariant: str
    job_id: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.job_id or '-'}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Timing of the run, in seconds. None: the rule that needs it is skipped.

    `lease` is the lease of old clients, whose every report has an event; `sweep` is the interval of the sweeps;
    `overlap` is the longest duration of a transaction. An overdue job must end within `sweep` + `overlap` and the
    measured outages: the 30 s of the specification would hide a sweep that is three times too late. `recovery` is how
    long a fault has effects after it was healed: a process starts and connects again. `at_rest`: the run is over, so
    every job must have ended.
    """

    lease: float | None = None
    sweep: float = 5.0
    overlap: float = 2.0
    recovery: float = 10.0
    at_rest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The input of the rules. `clock` is the time of the logs' clock when the database's was `now`."""

    records: Records
    limits: Limits
    now: dt.datetime
    clock: float

    def outage_seconds(self, since: dt.datetime, until: dt.datetime, *, recovery: float) -> float:
        """Return the seconds between these times in which a fault was active or ended less than `recovery` ago."""
        begin, end = (self.clock - (self.now - when).total_seconds() for when in (since, until))
        total = 0.0
        for start, stop in self.records.windows:
            start, stop = max(start, begin), min(stop + recovery, end)
            if start < stop:
                total += stop - start
                begin = stop
        return total


Rule = Callable[[Case], Iterator[Violation]]
BEFORE_ALL = dt.datetime(1, 1, 1)  # noqa: DTZ001  # Times of the database are UTC without a zone.
AFTER_ALL = dt.datetime(9999, 12, 31)  # noqa: DTZ001
