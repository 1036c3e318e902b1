"""Decisions about occurrences of schedules, as tables without a database."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import cast
from zoneinfo import ZoneInfo

from jobs.models import Missed, Outcome, Overlap, WorkCalendar
from jobs.schedules.calendars import WorkingDays
from jobs.schedules.cron.schedule import Cron
from jobs.schedules.rules import (
    CATCH_UP_LIMIT,
    Decision,
    Rules,
    apply_overlap,
    coming_runs,
    decide,
    occurrences_until,
    spread,
    window_of,
)

_NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)  # a Wednesday
_MINUTE = dt.timedelta(minutes=1)
_UTC = ZoneInfo("UTC")
_SHORT = {
    Outcome.STARTED: "run", Outcome.MISSED: "missed", Outcome.PAUSED: "paused", Outcome.BLACKED_OUT: "blackout",
    Outcome.DAY_OFF: "day off", Outcome.OVERLAPPED: "overlapped", Outcome.WAITING: "waits",
}  # fmt: skip


def _said(decisions: list[Decision]) -> list[str]:
    return [f"{_SHORT[one.outcome]} {one.reason}".strip() for one in decisions]


def _after(absence: dt.timedelta, *, every: dt.timedelta = 5 * _MINUTE, **rules: object) -> list[str]:
    """Return the decisions at noon about the occurrences since an absence began."""
    moments = [_NOON - absence + every * step for step in range(absence // every + 1)]
    return _said(decide(moments, Rules(zone=_UTC, **rules), now=_NOON))  # type: ignore[arg-type]


def test_missed_runs_are_skipped_run_once_or_all_run() -> None:
    away = dt.timedelta(minutes=20)
    assert _after(dt.timedelta(0)) == ["run"]
    # A delay of half a minute is not an absence.
    assert _said(decide([_NOON - dt.timedelta(seconds=30)], Rules(zone=_UTC, missed=Missed.SKIP), now=_NOON)) == ["run"]
    assert _after(away, missed=Missed.SKIP) == [*["missed skip"] * 4, "run"]
    assert _after(away, missed=Missed.ONCE) == [*["missed later"] * 4, "run"]
    assert _after(away, missed=Missed.ALL) == [*["run made_up"] * 4, "run"]
    narrow = dt.timedelta(minutes=10)
    assert _after(away, missed=Missed.ALL, within=narrow) == [*["missed window"] * 2, *["run made_up"] * 2, "run"]
    assert _after(away, missed=Missed.ONCE, within=narrow) == [*["missed window"] * 2, *["missed later"] * 2, "run"]


def test_missed_once_runs_the_last_allowed_occurrence() -> None:
    moments = [_NOON - minutes * _MINUTE for minutes in (20, 10, 5)]
    assert _said(decide(moments, Rules(zone=_UTC), now=_NOON)) == ["missed later", "missed later", "run made_up"]
    dark = [window_of({"from": "11:52", "to": "12:30"})]
    assert _said(decide(moments, Rules(zone=_UTC, blackout=dark), now=_NOON)) == [
        "missed later", "run made_up", "blackout 11:52-12:30",
    ]  # fmt: skip
    assert _said(decide(moments, Rules(zone=_UTC, within=4 * _MINUTE), now=_NOON)) == ["missed window"] * 3


def test_catch_up_runs_are_bounded() -> None:
    said = _after(dt.timedelta(seconds=CATCH_UP_LIMIT + 99), every=dt.timedelta(seconds=1), missed=Missed.ALL)
    assert said[:100] == ["missed limit"] * 100
    assert len([one for one in said if one.startswith("run")]) == CATCH_UP_LIMIT


def test_a_pause_comes_before_a_blackout_and_that_before_a_day_off() -> None:
    sunday = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    days = WorkingDays(WorkCalendar())
    vars(days)["_listed"] = {}
    rules = {
        "day off weekend": Rules(zone=_UTC, working_days=days),
        "blackout 11:00-13:00": Rules(
            zone=_UTC, working_days=days, blackout=[window_of({"from": "11:00", "to": "13:00"})]
        ),
        "paused 2026-03-02T00:00:00.000000Z": Rules(
            zone=_UTC,
            working_days=days,
            blackout=[window_of({"from": "11:00", "to": "13:00"})],
            paused_until=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
        ),
    }
    assert [_said(decide([sunday], rule, now=sunday)) for rule in rules.values()] == [[said] for said in rules]


def test_windows() -> None:
    night = window_of({"days": "mon-fri", "from": "23:00", "to": "07:00"})
    at = [
        (dt.datetime(2026, 3, 4, 22, 59), False), (dt.datetime(2026, 3, 4, 23), True),  # noqa: DTZ001
        (dt.datetime(2026, 3, 5, 6, 59), True), (dt.datetime(2026, 3, 5, 7), False),  # noqa: DTZ001
        # From Friday into Saturday, not from Saturday or into Monday.
        (dt.datetime(2026, 3, 7, 3), True), (dt.datetime(2026, 3, 7, 23), False),  # noqa: DTZ001
        (dt.datetime(2026, 3, 9, 3), False),  # noqa: DTZ001
    ]  # fmt: skip
    assert [(local, night.holds(local)) for local, _held in at] == at
    weekend = window_of({"days": "fri-mon", "from": "00:00", "to": "12:00"})
    assert sorted(weekend.days) == [0, 4, 5, 6]
    wrong_ones: list[dict[str, object]] = [
        {"from": "1", "to": "2"}, {"from": "07:00", "to": "07:00"}, {"days": "x", "from": "07:00", "to": "08:00"},
        {"from": "07:00"}, {"from": "07:00+01:00", "to": "08:00"}, {"from": "07:00:01", "to": "08:00"},
    ]  # fmt: skip
    for wrong in wrong_ones:
        try:
            window_of(wrong)
        except (ValueError, KeyError):
            continue
        raise AssertionError(wrong)


def _arranged(overlap: Overlap, *kinds: str, busy: bool = False, waiting: bool = False) -> list[str]:
    decisions = [
        Decision(due_at=_NOON + step * _MINUTE, outcome=Outcome.STARTED, is_catch_up=kind == "late")
        if kind != "off"
        else Decision(due_at=_NOON + step * _MINUTE, outcome=Outcome.DAY_OFF)
        for step, kind in enumerate(kinds)
    ]
    return _said(apply_overlap(decisions, overlap, busy=busy, waiting=waiting))


def test_overlaps() -> None:
    table = [
        (Overlap.SKIP, ("now", "now"), False, ["run", "overlapped running"]),
        (Overlap.SKIP, ("now",), True, ["overlapped running"]),
        (Overlap.SKIP, ("off", "now"), False, ["day off", "run"]),
        (Overlap.QUEUE, ("now", "now", "now"), False, ["run", "waits", "overlapped waiting"]),
        (Overlap.QUEUE, ("late", "late", "late"), False, ["run", "waits", "waits"]),
        (Overlap.QUEUE, ("now",), True, ["waits"]),
        (Overlap.REPLACE, ("now", "now"), True, ["overlapped replaced", "run"]),
        (Overlap.ALLOW, ("now", "now"), True, ["run", "run"]),
    ]
    assert [_arranged(overlap, *kinds, busy=busy) for overlap, kinds, busy, _said in table] == [row[3] for row in table]
    assert _arranged(Overlap.QUEUE, "now", waiting=True) == ["overlapped waiting"]


@dataclass(frozen=True)
class _Steps:
    every: dt.timedelta

    def __call__(self, moment: dt.datetime) -> dt.datetime:
        return moment + self.every


def test_a_long_absence_is_scanned_in_parts_that_keep_runnable_occurrences_together() -> None:
    first, now, steps = _NOON - dt.timedelta(days=5), _NOON, _Steps(dt.timedelta(seconds=10))
    rules = Rules(zone=_UTC)
    parts, moment = [], cast("dt.datetime | None", first)
    while moment is not None and moment <= now:
        found, moment = occurrences_until(moment, steps, rules, now)
        parts.append(found)
    assert sum(len(part) for part in parts) == 5 * 8640 + 1
    assert all(len(part) == 2000 for part in parts[:-1])
    ran = [one for part in parts for one in decide(part, rules, now=now) if one.outcome == Outcome.STARTED]
    assert [one.due_at for one in ran] == [now]


def test_previews_omit_occurrences_that_pauses_and_blackouts_stop() -> None:
    cron = Cron.parse("0 8 * * *", timezone="Asia/Shanghai", now=_NOON)
    night = window_of({"days": "sat,sun", "from": "07:00", "to": "09:00"})
    rules = Rules(zone=ZoneInfo("Asia/Shanghai"), blackout=[night])
    runs = coming_runs(cron, rules, now=_NOON, count=4)
    assert [f"{run:%a %d %H:%M}" for run in runs] == ["Thu 05 00:00", "Fri 06 00:00", "Mon 09 00:00", "Tue 10 00:00"]
    every_second = Cron.parse("* * * * * *", timezone="UTC", now=_NOON)
    sunday = WorkingDays(WorkCalendar())
    vars(sunday)["_listed"] = {}
    kept = Rules(
        zone=_UTC,
        working_days=sunday,
        blackout=[window_of({"from": "23:00", "to": "08:00"}), window_of({"from": "08:00", "to": "12:30"})],
        paused_until=dt.datetime(2026, 3, 7, 12, 30, tzinfo=dt.UTC),
    )
    runs = coming_runs(every_second, kept, now=_NOON, count=2)
    assert [f"{run:%a %d %H:%M:%S}" for run in runs] == ["Mon 09 12:30:00", "Mon 09 12:30:01"]
    never = Rules(zone=_UTC, blackout=[window_of({"from": "00:00", "to": "23:59"})])
    assert coming_runs(cron, never, now=_NOON, count=4) == []


def test_jitter_is_the_same_at_every_try_and_within_its_bound() -> None:
    spreads = {spread(f"job-{number}", 60) for number in range(200)}
    assert len(spreads) > 190
    assert min(spreads) >= dt.timedelta(0)
    assert max(spreads) <= dt.timedelta(seconds=60)
    assert spread("a", 60) == spread("a", 60)
    assert spread("a", 0) == dt.timedelta(0)
