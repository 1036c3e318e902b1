"""Random expressions with their meaning, which is generated with the text and not parsed from it."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

DayTest = Callable[[dt.date], bool]

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEK = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


@dataclass(frozen=True)
class Numbers:
    """The text of a field and its numbers."""

    text: str
    values: frozenset[int]


@dataclass(frozen=True)
class DayField:
    """The text of a day field and a test of a date."""

    text: str
    takes: DayTest


@dataclass(frozen=True)
class Drawn:
    """An expression and its meaning."""

    text: str
    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    years: frozenset[int] | None
    month_day: DayField
    week_day: DayField

    def takes_day(self, day: dt.date) -> bool:
        """Return whether either day field matches; both must if one starts with a star or is a question mark (6.9)."""
        if day.month not in self.months or (self.years is not None and day.year not in self.years):
            return False
        of_month, of_week = self.month_day.takes(day), self.week_day.takes(day)
        free = {self.month_day.text[0], self.week_day.text[0]} & {"*", "?"}
        return (of_month and of_week) if free else (of_month or of_week)

    @property
    def star_hours(self) -> bool:
        return self.text.split()[2].startswith("*")


def _walk(first: int, last: int, step: int, low: int, high: int) -> frozenset[int]:
    """Go from first to last, wrapping at the end, and take every step-th number."""
    taken, at, count = set(), first, 0
    while True:
        if count % step == 0:
            taken.add(at)
        if at == last:
            return frozenset(taken)
        at, count = (low if at == high else at + 1), count + 1


def _walked(text: str, low: int, high: int, step: int) -> Numbers:
    return Numbers(text, _walk(low, high, step, low, high))


@st.composite
def _part(draw: st.DrawFn, low: int, high: int, names: list[str]) -> Numbers:
    def shown(number: int) -> str:
        if names and draw(st.booleans()):
            name = names[number - low]
            return draw(st.sampled_from([name, name.upper(), name.capitalize()]))
        return str(number) if draw(st.booleans()) else f"{number:02}"

    first, last = draw(st.integers(low, high)), draw(st.integers(low, high))
    step = draw(st.integers(1, high - low + 1))
    match draw(st.sampled_from(["one", "one", "range", "range/", "from/", "*/", "*"])):
        case "one":
            return Numbers(shown(first), frozenset({first}))
        case "range":
            return Numbers(f"{shown(first)}-{shown(last)}", _walk(first, last, 1, low, high))
        case "range/":
            return Numbers(f"{shown(first)}-{shown(last)}/{step}", _walk(first, last, step, low, high))
        case "from/":
            return Numbers(f"{shown(first)}/{step}", _walk(first, high, step, low, high))
        case "*/":
            return _walked(f"*/{step}", low, high, step)
    return _walked("*", low, high, 1)


@st.composite
def numbers(draw: st.DrawFn, low: int, high: int, names: list[str] = []) -> Numbers:  # noqa: B006 never written to
    """A field of numbers."""
    parts = draw(st.lists(_part(low, high, names), min_size=1, max_size=3))
    return Numbers(",".join(part.text for part in parts), frozenset().union(*(part.values for part in parts)))


def _length(day: dt.date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_workday(day: dt.date, wanted: int) -> bool:
    """Return whether `day` is the workday nearest to the requested day, within its month."""
    if wanted > _length(day):
        return False
    for distance in (0, -1, 1, -2, 2):
        at = wanted + distance
        if 1 <= at <= _length(day) and day.replace(day=at).isoweekday() < 6:
            return day.day == at
    raise AssertionError


@st.composite
def _month_day_part(draw: st.DrawFn) -> DayField:
    number = draw(st.integers(1, 31))
    match draw(st.sampled_from(["plain", "plain", "L", "L-", "LW", "W"])):
        case "L":
            return DayField("L", lambda day: day.day == _length(day))
        case "L-":
            back = min(number, 30)
            return DayField(f"L-{back}", lambda day: day.day == _length(day) - back)
        case "LW":
            return DayField("lw", lambda day: _last(day, lambda one: one.isoweekday() < 6))
        case "W":
            return DayField(f"{number}W", lambda day: _nearest_workday(day, number))
    part = draw(_part(1, 31, []))
    return DayField(part.text, lambda day: day.day in part.values)


def _last(day: dt.date, wanted: DayTest) -> bool:
    later = [day.replace(day=number) for number in range(day.day + 1, _length(day) + 1)]
    return wanted(day) and not any(map(wanted, later))


@st.composite
def _week_day_part(draw: st.DrawFn) -> DayField:
    weekday = draw(st.integers(0, 6))
    text = draw(st.sampled_from([_WEEK[weekday], _WEEK[weekday].upper(), str(weekday), str(weekday or 7)]))

    def falls(day: dt.date) -> bool:
        return day.isoweekday() % 7 == weekday

    match draw(st.sampled_from(["plain", "plain", "plain", "L", "#"])):
        case "L":
            return DayField(f"{text}L", lambda day: _last(day, falls))
        case "#":
            nth = draw(st.integers(1, 5))
            return DayField(f"{text}#{nth}", lambda day: falls(day) and 7 * (nth - 1) < day.day <= 7 * nth)
    part = draw(_part(0, 6, _WEEK))
    return DayField(part.text, lambda day: day.isoweekday() % 7 in part.values)


@st.composite
def _day_field(draw: st.DrawFn, parts: st.SearchStrategy[DayField]) -> DayField:
    if draw(st.integers(0, 2)) == 0:
        return DayField(draw(st.sampled_from("*?")), lambda day: True)
    chosen = draw(st.lists(parts, min_size=1, max_size=2))
    return DayField(",".join(one.text for one in chosen), lambda day: any(one.takes(day) for one in chosen))


@st.composite
def expressions(draw: st.DrawFn, first_year: int) -> Drawn:
    """Draw an expression of six or seven fields; often at whole minutes, with starred hours, in any month."""
    second, minute = draw(st.just(_walked("0", 0, 0, 1)) | numbers(0, 59)), draw(numbers(0, 59))
    starred = st.integers(1, 24).map(lambda step: _walked(f"*/{step}", 0, 23, step))
    early = st.integers(0, 3).map(lambda hour: _walked(str(hour), hour, hour, 1))  # when clocks change
    hour = draw(numbers(0, 23) | starred | early)
    month = draw(st.just(_walked("*", 1, 12, 1)) | numbers(1, 12, _MONTHS))
    of_month, of_week = draw(_day_field(_month_day_part())), draw(_day_field(_week_day_part()))
    if of_month.text == of_week.text == "?":
        of_week = DayField("*", of_week.takes)
    years: frozenset[int] | None = None
    fields = [second.text, minute.text, hour.text, of_month.text, month.text, of_week.text]
    if draw(st.integers(0, 3)) == 0:
        years = draw(st.frozensets(st.integers(first_year, first_year + 3), min_size=1))
        fields.append(",".join(map(str, years)))
    return Drawn(" ".join(fields), second.values, minute.values, hour.values, month.values, years, of_month, of_week)
