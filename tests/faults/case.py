"""The words of the rules: a violation, the limits of a run, and the life of a job as the specification has it."""

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
        ("sent", "sent"),  # Its owner asks for its end; its agent has not heard of it yet.
        *((before, after) for before in ACTIVE for after in ENDS),
        ("queuing", "expired"),
        ("queuing", "canceled"),
        ("expired", "succeeded"),
        ("expired", "failed"),
    }
)
"""Every step that the specification knows, from T1 to T7; a wish to cancel is one that leads nowhere."""
LATE = dt.timedelta(days=7)
RESULT_CHARACTERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A promise that was not kept: which, for which job ("" where it has none), and what was seen."""

    invariant: str
    job_id: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.job_id or '-'}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How the run was set up, in seconds. None: the rule that needs it is left out.

    `lease` is that of old clients, whose every sign of life has an event; `sweep` is the time from one look for what is
    overdue to the next; `overlap` is the longest that a transaction lasts. What is overdue ends within these two and
    the outages that were measured: the 30 s that the specification grants would hide a sweep that comes three times too
    late. `recovery` is how long a fault goes on to be felt after it was healed: a process starts and connects anew.
    `at_rest`: nothing more will happen, so every job must have ended.
    """

    lease: float | None = None
    sweep: float = 5.0
    overlap: float = 2.0
    recovery: float = 10.0
    at_rest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the rules look at. `clock` is what the logs' clock showed when the database's said `now`."""

    records: Records
    limits: Limits
    now: dt.datetime
    clock: float

    def outage_seconds(self, since: dt.datetime, until: dt.datetime, *, recovery: float) -> float:
        """For how long between these moments a fault was in force, or had been until `recovery` seconds before."""
        begin, end = (self.clock - (self.now - moment).total_seconds() for moment in (since, until))
        total = 0.0
        for start, stop in self.records.windows:
            start, stop = max(start, begin), min(stop + recovery, end)
            if start < stop:
                total += stop - start
                begin = stop
        return total


Rule = Callable[[Case], Iterator[Violation]]
BEFORE_ALL = dt.datetime(1, 1, 1)  # noqa: DTZ001  # Moments of the database are UTC without a zone.
AFTER_ALL = dt.datetime(9999, 12, 31)  # noqa: DTZ001
