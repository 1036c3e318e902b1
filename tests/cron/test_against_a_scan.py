"""Random expressions, compared with a scan of every minute and day that uses only their meaning.

Derandomized, so that every run is the same. The long test draws more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby, islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jobs.schedules.cron.schedule import Cron, InvalidSchedule
from tests.cron.drawn import Drawn, expressions

_MINUTE = dt.timedelta(minutes=1)
_DAY = dt.timedelta(days=1)
_SCANNED_DAYS = 4 * 366
_RUNS = 40

# Zones and days with a clock change: by an hour, by half an hour, at midnight; and one without a change.
_CHANGES = [
    ("America/New_York", dt.date(2026, 3, 8)),
    ("America/New_York", dt.date(2026, 11, 1)),
    ("Europe/Berlin", dt.date(2026, 3, 29)),
    ("Europe/Berlin", dt.date(2026, 10, 25)),
    ("Australia/Lord_Howe", dt.date(2026, 4, 5)),
    ("Australia/Lord_Howe", dt.date(2026, 10, 4)),
    ("America/Santiago", dt.date(2026, 4, 5)),
    ("America/Santiago", dt.date(2026, 9, 6)),
    ("America/Havana", dt.date(2026, 11, 1)),
    ("Asia/Shanghai", dt.date(2028, 2, 29)),
]


@cache
def _minutes_around(zone: str, day: dt.date) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return each minute of six days in UTC with its local time."""
    start = dt.datetime.combine(day - 3 * _DAY, dt.time(), dt.UTC)
    minutes = [start + number * _MINUTE for number in range(6 * 1440)]
    return [(moment, moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for moment in minutes]


@cache
def _first_shown(zone: str, day: dt.date) -> list[tuple[dt.datetime, dt.datetime, bool]]:
    """Return each local minute with its first time in UTC; a skipped minute is marked, with the time of the jump."""
    table = _minutes_around(zone, day)
    first: dict[dt.datetime, dt.datetime] = {}
    for moment, wall in table:
        first.setdefault(wall, moment)
    shown, at, end = [], min(first), max(first)
    while at <= end:
        jumped = at not in first
        moment = first[at] if not jumped else min(when for wall, when in first.items() if wall > at)
        shown.append((moment, at, jumped))
        at += _MINUTE
    return shown


def _scan(drawn: Drawn, zone: str, day: dt.date) -> Iterator[dt.datetime]:
    """Yield every run within the table, in order; a time may be repeated."""
    seconds = [dt.timedelta(seconds=second) for second in sorted(drawn.seconds)]
    taken = cache(drawn.takes_day)
    shown = [(*row, False) for row in _minutes_around(zone, day)] if drawn.star_hours else _first_shown(zone, day)
    for moment, wall, jumped in shown:
        if wall.minute in drawn.minutes and wall.hour in drawn.hours and taken(wall.date()):
            yield from [moment] if jumped else [moment + second for second in seconds]


def _parsed(drawn: Drawn, zone: str, start: dt.datetime) -> Cron | None:
    """Return the parsed expression, None if it is refused because it never runs."""
    try:
        return Cron.parse(drawn.text, timezone=zone, now=start)
    except InvalidSchedule as error:
        if error.reason != "never":
            raise
        return None


def _holds_while_clocks_change(drawn: Drawn, change: tuple[str, dt.date], after_midnight: int) -> None:
    zone, day = change
    start = dt.datetime.combine(day, dt.time(), ZoneInfo(zone)).astimezone(dt.UTC) + after_midnight * _MINUTE
    end = _minutes_around(zone, day)[-1][0] - dt.timedelta(hours=1)
    scanned = (run for run, _ in groupby(_scan(drawn, zone, day)) if start < run < end)
    cron = _parsed(drawn, zone, start)
    runs = cron.upcoming(start, _RUNS) if cron else []
    assert [run for run in runs if run < end] == list(islice(scanned, _RUNS))


def _holds_over_the_years(drawn: Drawn, day: dt.date) -> None:
    """Compare the first run of each day in UTC, so that only the days matter."""
    time = dt.time(min(drawn.hours), min(drawn.minutes), min(drawn.seconds), tzinfo=dt.UTC)
    days = (day + number * _DAY for number in range(_SCANNED_DAYS))
    scanned = [dt.datetime.combine(one, time) for one in islice(filter(drawn.takes_day, days), 4)]
    start = dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(seconds=1)
    cron = _parsed(drawn, "UTC", start)
    runs = []
    for _ in scanned:
        assert cron is not None
        run = cron.next_after(start)
        assert run is not None
        runs.append(run)
        start = dt.datetime.combine(run, dt.time(23, 59, 59), dt.UTC)
    assert runs == scanned
    if not scanned and cron:
        run = cron.next_after(start)
        assert run is not None
        assert run >= dt.datetime.combine(day, dt.time(), dt.UTC) + _SCANNED_DAYS * _DAY


_PROPERTIES: dict[Callable[..., None], tuple[st.SearchStrategy[Any], ...]] = {
    _holds_while_clocks_change: (
        expressions(2026),
        st.sampled_from(_CHANGES),
        st.integers(-90, 270) | st.integers(-2400, -1500),
    ),
    _holds_over_the_years: (expressions(2026), st.dates(dt.date(2026, 1, 1), dt.date(2028, 3, 1))),
}


def _check(holds: Callable[..., None], examples: int) -> None:
    settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )(given(*_PROPERTIES[holds])(holds))()


@pytest.mark.parametrize("holds", _PROPERTIES)
def test_expressions_run_when_a_scan_says(holds: Callable[..., None]) -> None:
    _check(holds, 250)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("holds", _PROPERTIES)
def test_many_expressions_run_when_a_scan_says(holds: Callable[..., None]) -> None:
    _check(holds, 5_000)
