"""The rules that decide which occurrences of a schedule run. The module does not use the database; `scan.py` does.

An occurrence is a time at which a schedule should run. `decide` applies pauses, blackout windows, days off and the
policy for missed occurrences. `apply_overlap` then handles occurrences whose predecessor has not ended.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from jobs.models import Missed, Outcome, Overlap, Schedule
from jobs.schedules.calendars import WorkingDays
from jobs.schedules.cron.schedule import Cron
from kernel.clock import rfc3339

LATE = dt.timedelta(seconds=30)
"""An occurrence that is decided later than this after its time counts as missed."""

CATCH_UP_LIMIT = 500
"""With `missed: all`, at most this many missed occurrences run: the newest."""

RESULT_EXPECTED = frozenset({Outcome.STARTED, Outcome.WAITING, Outcome.MISSED, Outcome.OVERLAPPED, Outcome.REFUSED})
"""Outcomes of an occurrence after which a schedule with a grace expects a result."""

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CHUNK = 2000
_SEARCH_LIMIT = 1000
_SECOND = dt.timedelta(seconds=1)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A blackout window: nothing runs from `start` (included) to `end` (excluded).

    A window over midnight belongs to the day on which it begins. `days` holds those weekdays, Monday is 0.
    """

    days: frozenset[int]
    start: dt.time
    end: dt.time

    def holds(self, local: dt.datetime) -> bool:
        """Tell whether a local time lies in the window."""
        clock, day = local.time(), local.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= clock < self.end
        return (day in self.days and clock >= self.start) or ((day - 1) % 7 in self.days and clock < self.end)

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings of a schedule that decide about its occurrences. `working_days`: run on these days only."""

    zone: ZoneInfo
    missed: Missed = Missed.ONCE
    within: dt.timedelta = dt.timedelta(hours=1)
    paused_until: dt.datetime | None = None
    blackout: Sequence[Window] = ()
    working_days: WorkingDays | None = None

    @property
    def oldest(self) -> dt.timedelta:
        """The greatest age at which an occurrence may still run."""
        return LATE if self.missed == Missed.SKIP else max(self.within, LATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of one occurrence and its reason. `is_catch_up` means that it was missed and runs late."""

    due_at: dt.datetime
    outcome: Outcome
    reason: str = ""
    is_catch_up: bool = False


def cron_of(schedule: Schedule, *, after: dt.datetime) -> Cron:
    """Return the schedule's expression with its zone and calendar; raise InvalidSchedule if no run follows `after`."""
    return Cron.parse(
        schedule.cron,
        timezone=schedule.timezone,
        calendar=WorkingDays(schedule.calendar) if schedule.calendar is not None else None,
        anchor=schedule.created_at.replace(microsecond=0),
        now=after,
    )


def rules_of(schedule: Schedule, cron: Cron) -> Rules:
    """Return the rules of a schedule."""
    restricted = schedule.only_working_days and schedule.calendar is not None
    return Rules(
        zone=ZoneInfo(cron.timezone),
        missed=Missed(schedule.missed),
        within=dt.timedelta(seconds=schedule.missed_seconds),
        paused_until=schedule.paused_until,
        blackout=[window_of(row) for row in schedule.blackout or ()],
        working_days=WorkingDays(schedule.calendar) if restricted and schedule.calendar is not None else None,
    )


def window_of(row: Mapping[str, object]) -> Window:
    """Read a blackout window: `from` and `to` (HH:MM), and `days` such as `mon-fri` or `sat,sun` (default every day).

    Raises ValueError or KeyError for anything else.
    """
    start, end = (dt.time.fromisoformat(str(row[name])) for name in ("from", "to"))
    if start == end or any(time.tzinfo or time.second or time.microsecond for time in (start, end)):
        raise ValueError("start equals end, or a time is not HH:MM")
    return Window(days=_weekdays(str(row.get("days") or "mon-sun")), start=start, end=end)


def _weekdays(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _dash, last = part.strip().partition("-")
        start, end = _WEEKDAYS.index(first), _WEEKDAYS.index(last or first)
        days |= {(start + later) % 7 for later in range((end - start) % 7 + 1)}
    return frozenset(days)


def occurrences_until(
    first: dt.datetime, following: Callable[[dt.datetime], dt.datetime | None], rules: Rules, now: dt.datetime
) -> tuple[list[dt.datetime], dt.datetime | None]:
    """Return the occurrences from `first` up to `now`, and the next one after them (None if there is none).

    After a long absence the list is cut off after 2,000 or more occurrences, but only while the last one is too old
    to run. The next scan continues there.
    """
    due: list[dt.datetime] = []
    at: dt.datetime | None = first
    while at is not None and at <= now:
        if len(due) >= _CHUNK and now - due[-1] > rules.oldest:
            break
        due.append(at)
        at = following(at)
    return due, at


def decide(occurrences: Sequence[dt.datetime], rules: Rules, *, now: dt.datetime) -> list[Decision]:
    """Decide for each occurrence, in order, whether it runs (STARTED) or why it does not.

    The checks come in this order: paused, blackout window, day off, missed. If at least one occurrence was missed,
    `missed: once` runs only the last of those that may run.
    """
    decisions = [_decide_one(at, rules, now) for at in occurrences]
    runs = [at for at, decision in enumerate(decisions) if decision.outcome == Outcome.STARTED]
    if not any(decisions[at].is_catch_up for at in runs):
        return decisions
    left_out: list[int] = []
    if rules.missed == Missed.ONCE:
        left_out, reason = runs[:-1], "later"
    elif rules.missed == Missed.ALL:
        left_out, reason = runs[:-CATCH_UP_LIMIT], "limit"
    for at in left_out:
        decisions[at] = Decision(due_at=occurrences[at], outcome=Outcome.MISSED, reason=reason)
    return decisions


def _decide_one(at: dt.datetime, rules: Rules, now: dt.datetime) -> Decision:
    outcome, reason = _obstacle(at, rules)
    if outcome is not None:
        return Decision(due_at=at, outcome=outcome, reason=reason)
    age = now - at
    if age <= LATE:
        return Decision(due_at=at, outcome=Outcome.STARTED)
    if rules.missed == Missed.SKIP:
        return Decision(due_at=at, outcome=Outcome.MISSED, reason="skip")
    if age > rules.oldest:
        return Decision(due_at=at, outcome=Outcome.MISSED, reason="window")
    return Decision(due_at=at, outcome=Outcome.STARTED, reason="made_up", is_catch_up=True)


def _obstacle(at: dt.datetime, rules: Rules) -> tuple[Outcome | None, str]:
    """Return the rule that stops this occurrence at any time of decision, and the reason; None if no rule does."""
    if rules.paused_until is not None and at < rules.paused_until:
        return Outcome.PAUSED, rfc3339(rules.paused_until) or ""
    local = at.astimezone(rules.zone)
    window = next((one for one in rules.blackout if one.holds(local)), None)
    if window is not None:
        return Outcome.BLACKED_OUT, str(window)
    if rules.working_days is not None and not rules.working_days.includes(local.date()):
        return Outcome.DAY_OFF, rules.working_days.name_of(local.date()) or "weekend"
    return None, ""


def apply_overlap(decisions: Sequence[Decision], overlap: Overlap, *, busy: bool, waiting: bool) -> list[Decision]:
    """Apply the schedule's overlap policy to the occurrences that run.

    `busy` means that an earlier run has not ended, `waiting` that an earlier occurrence waits already. With `queue` at
    most one regular occurrence waits; every catch-up run waits for its turn. With `replace` only the last occurrence
    runs, and the caller cancels the jobs of earlier ones.
    """
    arranged: list[Decision] = []
    last = max((at for at, one in enumerate(decisions) if one.outcome == Outcome.STARTED), default=-1)
    for at, decision in enumerate(decisions):
        if decision.outcome == Outcome.STARTED and overlap == Overlap.REPLACE and at != last:
            decision = _overlapped(decision, "replaced")
        elif decision.outcome == Outcome.STARTED and overlap == Overlap.SKIP and busy:
            decision = _overlapped(decision, "running")
        elif decision.outcome == Outcome.STARTED and overlap == Overlap.QUEUE and (busy or waiting):
            takes_turn = decision.is_catch_up or not waiting
            decision = replace(decision, outcome=Outcome.WAITING) if takes_turn else _overlapped(decision, "waiting")
            waiting = True
        busy = busy or decision.outcome == Outcome.STARTED
        arranged.append(decision)
    return arranged


def _overlapped(decision: Decision, reason: str) -> Decision:
    return Decision(due_at=decision.due_at, outcome=Outcome.OVERLAPPED, reason=reason)


def coming_runs(cron: Cron, rules: Rules, *, now: dt.datetime, count: int) -> list[dt.datetime]:
    """Return the next `count` occurrences that no known rule stops; fewer if the search limit is reached."""
    runs: list[dt.datetime] = []
    at = cron.next_after(now)
    for _ in range(_SEARCH_LIMIT):
        if at is None or len(runs) == count:
            break
        outcome, _reason = _obstacle(at, rules)
        if outcome is None:
            runs.append(at)
            at = cron.next_after(at)
        else:
            at = cron.next_after(max(at, _end_of(outcome, at, rules) - _SECOND))
    return runs


def _end_of(outcome: Outcome, at: dt.datetime, rules: Rules) -> dt.datetime:
    """Return the earliest time at which the rule that stops this occurrence may end."""
    if outcome == Outcome.PAUSED and rules.paused_until is not None:
        return rules.paused_until
    local = at.astimezone(rules.zone)
    if outcome == Outcome.DAY_OFF:
        return dt.datetime.combine(local.date() + _DAY, dt.time(), rules.zone).astimezone(dt.UTC)
    ends = (
        dt.datetime.combine(local.date() + later * _DAY, window.end, rules.zone).astimezone(dt.UTC)
        for window in rules.blackout
        for later in (0, 1)
        if window.holds(local)
    )
    return min((end for end in ends if end > at), default=at)


def occurrence_of(at: dt.datetime) -> str:
    """Return the text of an occurrence from which the id of its job is derived, such as `20300131T080000Z`."""
    return f"{at.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}"


def spread(job_id: str, jitter_seconds: int) -> dt.timedelta:
    """Return the delay of a job within the jitter. It follows from the id, so a repeated scan gets the same delay."""
    digest = hashlib.sha256(job_id.encode()).digest()
    return dt.timedelta(milliseconds=int.from_bytes(digest[:8]) % (jitter_seconds * 1000 + 1))
