"""What becomes of a schedule's moments: the rules, without the database. `occurrences.py` carries them out.

A moment is a time at which a schedule should run. `decide` says which of them run, `arrange` what an overlap makes of
those. Both are told the time.
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
"""A moment that is looked at later than this was missed: nothing ticked."""

MOST_MADE_UP = 500
"""So many missed moments run under `all`, the newest."""

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CHUNK = 2000
_LOOKED_AT = 1000
_SECOND = dt.timedelta(seconds=1)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time of day in which nothing runs, from `start` up to `end`; over midnight it belongs to the day it begins on.

    `days` are the weekdays on which it begins, Monday 0.
    """

    days: frozenset[int]
    start: dt.time
    end: dt.time

    def holds(self, local: dt.datetime) -> bool:
        """Tell whether a local time lies in it."""
        clock, day = local.time(), local.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= clock < self.end
        return (day in self.days and clock >= self.start) or ((day - 1) % 7 in self.days and clock < self.end)

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a schedule says of its moments. `working_days`: run on those days only."""

    zone: ZoneInfo
    missed: Missed = Missed.ONCE
    within: dt.timedelta = dt.timedelta(hours=1)
    paused_until: dt.datetime | None = None
    blackout: Sequence[Window] = ()
    working_days: WorkingDays | None = None

    @property
    def oldest(self) -> dt.timedelta:
        """How old a moment may be and still run."""
        return LATE if self.missed == Missed.SKIP else max(self.within, LATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one moment, and why. `made_up`: it was missed, and runs all the same."""

    due_at: dt.datetime
    outcome: Outcome
    reason: str = ""
    made_up: bool = False


def cron_of(schedule: Schedule, *, after: dt.datetime) -> Cron:
    """Return the schedule's expression with its zone and calendar; raise InvalidSchedule where no run comes after."""
    return Cron.parse(
        schedule.cron,
        timezone=schedule.timezone,
        calendar=WorkingDays(schedule.calendar) if schedule.calendar is not None else None,
        anchor=schedule.created_at.replace(microsecond=0),
        now=after,
    )


def rules_of(schedule: Schedule, cron: Cron) -> Rules:
    """Return what the schedule says of its moments."""
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
    """Read a blackout window: `from` and `to` (HH:MM), `days` such as `mon-fri` or `sat,sun`, all without it.

    Raises ValueError for what is none.
    """
    start, end = (dt.time.fromisoformat(str(row[name])) for name in ("from", "to"))
    if start == end or any(time.tzinfo or time.second or time.microsecond for time in (start, end)):
        raise ValueError("a window that never ends, or times that are not hours and minutes")
    return Window(days=_weekdays(str(row.get("days") or "mon-sun")), start=start, end=end)


def _weekdays(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _dash, last = part.strip().partition("-")
        start, end = _WEEKDAYS.index(first), _WEEKDAYS.index(last or first)
        days |= {(start + later) % 7 for later in range((end - start) % 7 + 1)}
    return frozenset(days)


def moments_from(
    first: dt.datetime, following: Callable[[dt.datetime], dt.datetime | None], rules: Rules, now: dt.datetime
) -> tuple[list[dt.datetime], dt.datetime | None]:
    """Return the moments from `first` up to now, and the one after them, None where no more comes.

    After a long absence only the first of them: 2,000 at least, and never some of those that may still run.
    """
    moments: list[dt.datetime] = []
    moment: dt.datetime | None = first
    while moment is not None and moment <= now:
        if len(moments) >= _CHUNK and now - moments[-1] > rules.oldest:
            break
        moments.append(moment)
        moment = following(moment)
    return moments, moment


def decide(moments: Sequence[dt.datetime], rules: Rules, *, now: dt.datetime) -> list[Verdict]:
    """Say of each moment, in their order, whether it runs (STARTED) or why it does not.

    Asked in this order: is it paused, in a blackout window, on a day off; was it missed, and then what the schedule
    says of that. Where one of them was missed, `once` runs the last of those that may run, and no other.
    """
    verdicts = [_ask(moment, rules, now) for moment in moments]
    runs = [at for at, verdict in enumerate(verdicts) if verdict.outcome == Outcome.STARTED]
    if not any(verdicts[at].made_up for at in runs):
        return verdicts
    left_out: list[int] = []
    if rules.missed == Missed.ONCE:
        left_out, reason = runs[:-1], "later"
    elif rules.missed == Missed.ALL:
        left_out, reason = runs[:-MOST_MADE_UP], "limit"
    for at in left_out:
        verdicts[at] = Verdict(due_at=moments[at], outcome=Outcome.MISSED, reason=reason)
    return verdicts


def _ask(moment: dt.datetime, rules: Rules, now: dt.datetime) -> Verdict:
    outcome, reason = _obstacle(moment, rules)
    if outcome is not None:
        return Verdict(due_at=moment, outcome=outcome, reason=reason)
    age = now - moment
    if age <= LATE:
        return Verdict(due_at=moment, outcome=Outcome.STARTED)
    if rules.missed == Missed.SKIP:
        return Verdict(due_at=moment, outcome=Outcome.MISSED, reason="skip")
    if age > rules.oldest:
        return Verdict(due_at=moment, outcome=Outcome.MISSED, reason="window")
    return Verdict(due_at=moment, outcome=Outcome.STARTED, reason="made_up", made_up=True)


def _obstacle(moment: dt.datetime, rules: Rules) -> tuple[Outcome | None, str]:
    """Return what keeps a moment from running whenever it is looked at, and its reason."""
    if rules.paused_until is not None and moment < rules.paused_until:
        return Outcome.PAUSED, rfc3339(rules.paused_until) or ""
    local = moment.astimezone(rules.zone)
    window = next((one for one in rules.blackout if one.holds(local)), None)
    if window is not None:
        return Outcome.BLACKED_OUT, str(window)
    if rules.working_days is not None and not rules.working_days.includes(local.date()):
        return Outcome.DAY_OFF, rules.working_days.name_of(local.date()) or "weekend"
    return None, ""


def arrange(verdicts: Sequence[Verdict], overlap: Overlap, *, busy: bool, waiting: bool) -> list[Verdict]:
    """Say what the schedule's overlap makes of the moments that run.

    `busy`: a run before them has not ended; `waiting`: one of an earlier moment waits already. One moment waits, no
    more; those that are made up for all wait in turn. `replace`: the last one runs, and the caller ends those before.
    """
    arranged: list[Verdict] = []
    last = max((at for at, one in enumerate(verdicts) if one.outcome == Outcome.STARTED), default=-1)
    for at, verdict in enumerate(verdicts):
        if verdict.outcome == Outcome.STARTED and overlap == Overlap.REPLACE and at != last:
            verdict = _overlapped(verdict, "replaced")
        elif verdict.outcome == Outcome.STARTED and overlap == Overlap.SKIP and busy:
            verdict = _overlapped(verdict, "running")
        elif verdict.outcome == Outcome.STARTED and overlap == Overlap.QUEUE and (busy or waiting):
            takes_turn = verdict.made_up or not waiting
            verdict = replace(verdict, outcome=Outcome.WAITING) if takes_turn else _overlapped(verdict, "waiting")
            waiting = True
        busy = busy or verdict.outcome == Outcome.STARTED
        arranged.append(verdict)
    return arranged


def _overlapped(verdict: Verdict, reason: str) -> Verdict:
    return Verdict(due_at=verdict.due_at, outcome=Outcome.OVERLAPPED, reason=reason)


def coming_runs(cron: Cron, rules: Rules, *, now: dt.datetime, count: int) -> list[dt.datetime]:
    """Return the next moments that nothing known keeps from running, fewer where they are too far away to find."""
    runs: list[dt.datetime] = []
    moment = cron.next_after(now)
    for _ in range(_LOOKED_AT):
        if moment is None or len(runs) == count:
            break
        outcome, _reason = _obstacle(moment, rules)
        if outcome is None:
            runs.append(moment)
            moment = cron.next_after(moment)
        else:
            moment = cron.next_after(max(moment, _end_of(outcome, moment, rules) - _SECOND))
    return runs


def _end_of(outcome: Outcome, moment: dt.datetime, rules: Rules) -> dt.datetime:
    """Return the earliest time at which what keeps this moment from running may be over."""
    if outcome == Outcome.PAUSED and rules.paused_until is not None:
        return rules.paused_until
    local = moment.astimezone(rules.zone)
    if outcome == Outcome.DAY_OFF:
        return dt.datetime.combine(local.date() + _DAY, dt.time(), rules.zone).astimezone(dt.UTC)
    ends = (
        dt.datetime.combine(local.date() + later * _DAY, window.end, rules.zone).astimezone(dt.UTC)
        for window in rules.blackout
        for later in (0, 1)
        if window.holds(local)
    )
    return min((end for end in ends if end > moment), default=moment)


def occurrence_of(moment: dt.datetime) -> str:
    """Return the word of a moment, from which the id of its job is made."""
    return f"{moment.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}"


def spread(job_id: str, jitter_seconds: int) -> dt.timedelta:
    """Return how much later a job starts: from nothing up to the jitter, the same at every try."""
    digest = hashlib.sha256(job_id.encode()).digest()
    return dt.timedelta(milliseconds=int.from_bytes(digest[:8]) % (jitter_seconds * 1000 + 1))
