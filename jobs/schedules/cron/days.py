"""The days of a month on which a schedule runs. Knows dates only: no time of day, no zone."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterator
from typing import Protocol

from jobs.schedules.cron.grammar import DayKind, DayRule, Fields

# Longer than any holiday. The limit ends the search in a calendar without any working day.
_FURTHEST = 31


class WorkingDays(Protocol):
    """The calendar that `5C` asks."""

    def includes(self, day: dt.date) -> bool:
        """Whether it is a working day."""


class Days:
    """The days of an expression, month by month. Remembers each month: make a new one when the calendar changes."""

    def __init__(self, fields: Fields, working_days: WorkingDays | None) -> None:
        self._fields = fields
        self._working_days = working_days
        self._known: dict[tuple[int, int], frozenset[int]] = {}

    def months(self) -> frozenset[int]:
        """The months in which it may run: what a calendar puts off may come to lie in the month after."""
        put_off = any(
            rule.asks_calendar for rules in (self._fields.month_days, self._fields.week_days) for rule in rules or ()
        )
        after = {month % 12 + 1 for month in self._fields.months} if put_off and self._working_days else set()
        return self._fields.months | after

    def of_month(self, year: int, month: int) -> frozenset[int]:
        """Return the days of this month on which it runs."""
        if (year, month) not in self._known:
            by_day = self._allowed(self._fields.month_days, year, month)
            by_weekday = self._allowed(self._fields.week_days, year, month)
            found = by_day | by_weekday if self._fields.either else by_day & by_weekday
            self._known[year, month] = frozenset(found)
        return self._known[year, month]

    def _allowed(self, rules: frozenset[DayRule] | None, year: int, month: int) -> set[int]:
        if rules is None:
            return set(range(1, calendar.monthrange(year, month)[1] + 1))
        allowed: set[int] = set()
        for rule in rules:
            if rule.asks_calendar:
                allowed.update(self._worked(rule, year, month))
            elif month in self._fields.months or not self._fields.either:
                allowed.update(_days_of(rule, year, month))
        return allowed

    def _worked(self, rule: DayRule, year: int, month: int) -> Iterator[int]:
        """Days of this month that are the first working day from the rule's day, of this month or the one before."""
        before = dt.date(year, month, 1) - dt.timedelta(days=1)
        for origin_year, origin_month in ((before.year, before.month), (year, month)):
            if origin_month in self._fields.months:
                for number in _days_of(rule, origin_year, origin_month):
                    worked = self._first_from(dt.date(origin_year, origin_month, number))
                    if worked and (worked.year, worked.month) == (year, month):
                        yield worked.day

    def _first_from(self, day: dt.date) -> dt.date | None:
        if self._working_days is None:
            return day
        days = (day + dt.timedelta(days=later) for later in range(_FURTHEST))
        return next(filter(self._working_days.includes, days), None)


def _days_of(rule: DayRule, year: int, month: int) -> list[int]:
    """The days that a rule names, before any calendar; in order."""
    first_weekday, length = calendar.monthrange(year, month)
    days = range(1, length + 1)
    # Sunday is 0, as in the expression; `calendar` has Monday 0.
    weekdays = [day for day in days if (first_weekday + day) % 7 == rule.number]
    workdays = [day for day in days if (first_weekday + day - 1) % 7 < 5]
    match rule.kind:
        case DayKind.DAY | DayKind.WORKED_FROM_DAY:
            return [rule.number] if rule.number <= length else []
        case DayKind.BEFORE_LAST:
            return [length - rule.number] if rule.number < length else []
        case DayKind.LAST_WORKDAY:
            return workdays[-1:]
        case DayKind.NEAREST_WORKDAY:
            return [min(workdays, key=lambda day: abs(day - rule.number))] if rule.number <= length else []
        case DayKind.WEEKDAY | DayKind.WORKED_FROM_WEEKDAY:
            return weekdays
        case DayKind.LAST_WEEKDAY:
            return weekdays[-1:]
        case DayKind.NTH_WEEKDAY:
            return weekdays[rule.nth - 1 : rule.nth]
