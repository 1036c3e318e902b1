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

    `lease` is that of old clients, whose every sign of life has an event; `slack` is the 30 s that the specification
    grants to sweeps; `overlap` is the longest that a transaction lasts. `at_rest`: nothing more will happen, so every
    job must have ended.
    """

    lease: float | None = None
    slack: float = 30.0
    overlap: float = 2.0
    at_rest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the rules look at."""

    records: Records
    limits: Limits
    now: dt.datetime


Rule = Callable[[Case], Iterator[Violation]]
BEFORE_ALL = dt.datetime(1, 1, 1)  # noqa: DTZ001  # Moments of the database are UTC without a zone.
AFTER_ALL = dt.datetime(9999, 12, 31)  # noqa: DTZ001
