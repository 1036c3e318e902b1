"""From the text of a cron expression to sets of numbers and rules for days. Knows no clock and no zone.

Five fields (the second is 0), six (seconds first) or seven (the year last). A field is a list of `*`, `a`, `a-b`, each
with or without `/n`; a range may go over the end (`23-7/2`). The day of month also takes `L`, `L-3`, `LW`, `15W` and
`5C`, the day of week `FRIL`, `FRI#2` and `5C`, and one of the two may be `?`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from django.utils.translation import gettext_lazy as _

from kernel.durations import parse_duration
from kernel.errors import InvalidDuration, InvalidRequest

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

LONGEST_EXPRESSION = 255
SHORTEST_PERIOD = dt.timedelta(seconds=1)
LONGEST_PERIOD = dt.timedelta(days=400)


class InvalidSchedule(InvalidRequest):
    """A cron expression that says nothing we can keep. `reason` is a stable word; tests/cron/examples.json has all."""

    code = "InvalidSchedule"

    def __init__(self, reason: str, sentence: str | _StrPromise, **params: object) -> None:
        super().__init__(sentence, params=params)
        self.reason = reason


class DayKind(Enum):
    """The modifiers of a rule for days. `number` is a day of the month, or a weekday with Sunday 0."""

    DAY = "5"
    BEFORE_LAST = "L-3"
    LAST_WORKDAY = "LW"
    NEAREST_WORKDAY = "15W"
    WORKED_FROM_DAY = "5C of month"
    WEEKDAY = "FRI"
    LAST_WEEKDAY = "FRIL"
    NTH_WEEKDAY = "FRI#2"
    WORKED_FROM_WEEKDAY = "5C of week"


class DayRule(NamedTuple):
    """One rule for days. `nth` counts from 1 and belongs to NTH_WEEKDAY."""

    kind: DayKind
    number: int
    nth: int = 0

    @property
    def asks_calendar(self) -> bool:
        """Whether a calendar decides, so that the day may lie in the month after."""
        return self.kind in (DayKind.WORKED_FROM_DAY, DayKind.WORKED_FROM_WEEKDAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """A cron expression, read. Rules of days that are None leave every day; `years` that is None every year."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    month_days: frozenset[DayRule] | None
    months: frozenset[int]
    week_days: frozenset[DayRule] | None
    years: frozenset[int] | None
    # Both day fields are restricted: a day that satisfies either is one.
    either: bool
    # The hour begins with a star: it runs by elapsed time, also while clocks change.
    every_hour: bool
    # Parts such as 5L: the weekday is a number, and Quartz counts those otherwise.
    numbered: tuple[str, ...]


class _Field(NamedTuple):
    name: _StrPromise
    takes: _StrPromise
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return self.high - self.low + 1


WEEK_DAY_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEK_DAY_TAKES = _("0 to 7 (0 and 7 are Sunday), SUN to SAT, FRIL, FRI#2, 5C or ?")

_SECOND = _Field(_("second"), _("0 to 59"), 0, 59)
_MINUTE = _Field(_("minute"), _("0 to 59"), 0, 59)
_HOUR = _Field(_("hour"), _("0 to 23"), 0, 23)
_MONTH_DAY = _Field(_("day of month"), _("1 to 31, L, L-3, LW, 15W, 5C or ?"), 1, 31)
_MONTH = _Field(_("month"), _("1 to 12 or JAN to DEC"), 1, 12, _MONTH_NAMES)
_WEEK_DAY = _Field(_("day of week"), _WEEK_DAY_TAKES, 0, 6, WEEK_DAY_NAMES)
_YEAR = _Field(_("year"), _("1970 to 2199"), 1970, 2199)

_ALL = ("*", "?")
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def split_zone(text: str) -> tuple[str | None, str]:
    """Part `CRON_TZ=Zone 0 8 * * *` into the zone (None where it names none) and the rest."""
    found = re.match(r"(?:CRON_)?TZ=(\S*)\s*", text)
    return (found[1], text[found.end() :]) if found else (None, text)


def read_expression(text: str) -> Fields | dt.timedelta:
    """Read an expression without its zone; `@every` gives the period. Raises InvalidSchedule."""
    if len(text) > LONGEST_EXPRESSION:
        raise InvalidSchedule("length", _("A schedule has at most %(most)s characters."), most=LONGEST_EXPRESSION)
    word, *parts = text.split() or [""]
    match word.lower():
        case "@every":
            return _period(" ".join(parts))
        case "@reboot":
            raise InvalidSchedule(
                "reboot",
                _("@reboot says nothing here: no machine starts. Write times, or put it into skadi.yml."),
            )
        case alias if alias in _ALIASES and not parts:
            return _fields(_ALIASES[alias].split())
        case other if other.startswith("@"):
            raise InvalidSchedule(
                "word",
                _("%(word)s is not known. Write @hourly, @daily, @weekly, @monthly, @yearly or @every 90s."),
                word=text,
            )
    return _fields(text.upper().split())


def _fields(parts: list[str]) -> Fields:
    if not 5 <= len(parts) <= 7:
        raise InvalidSchedule(
            "fields",
            _("A schedule has 5, 6 or 7 fields, this one has %(count)s. 0 30 8 * * * is every day at 08:30:00."),
            count=len(parts),
        )
    second, minute, hour, month_day, month, week_day, year = [*["0"][: 6 - len(parts)], *parts, "*"][:7]
    if month_day == week_day == "?":
        raise InvalidSchedule(
            "question-mark", _("Only one of day of month and day of week may be ?. Write * in the other one.")
        )
    return Fields(
        seconds=_numbers(second, _SECOND),
        minutes=_numbers(minute, _MINUTE),
        hours=_numbers(hour, _HOUR),
        month_days=None if month_day in _ALL else frozenset(_month_days(month_day)),
        months=_numbers(month, _MONTH),
        week_days=None if week_day in _ALL else frozenset(_week_days(week_day)),
        years=None if year == "*" else _numbers(year, _YEAR),
        either=month_day[0] not in _ALL and week_day[0] not in _ALL,
        every_hour=hour[0] == "*",
        numbered=tuple(re.findall(r"\b[0-7](?:L|#[1-5])\b", week_day)),
    )


def _month_days(text: str) -> Iterator[DayRule]:
    for part in text.split(","):
        if part == "LW":
            yield DayRule(DayKind.LAST_WORKDAY, 0)
        elif found := re.fullmatch(r"L(?:-([1-9]|[12][0-9]|30))?", part):
            yield DayRule(DayKind.BEFORE_LAST, int(found[1] or 0))
        elif part.endswith(("W", "C")):
            kind = DayKind.NEAREST_WORKDAY if part.endswith("W") else DayKind.WORKED_FROM_DAY
            yield DayRule(kind, _number(part[:-1], part, _MONTH_DAY))
        else:
            yield from (DayRule(DayKind.DAY, number) for number in _term(part, _MONTH_DAY))


def _week_days(text: str) -> Iterator[DayRule]:
    for part in text.split(","):
        if part == "L":
            raise InvalidSchedule(
                "ambiguous-last",
                _("L alone as day of week means Saturday to some and the last weekday to others. Write SAT or SATL."),
            )
        if found := re.fullmatch(r"(.+)#([1-5])", part):
            yield DayRule(DayKind.NTH_WEEKDAY, _number(found[1], part, _WEEK_DAY) % 7, int(found[2]))
        elif part.endswith(("L", "C")):
            kind = DayKind.LAST_WEEKDAY if part.endswith("L") else DayKind.WORKED_FROM_WEEKDAY
            yield DayRule(kind, _number(part[:-1], part, _WEEK_DAY) % 7)
        else:
            yield from (DayRule(DayKind.WEEKDAY, number) for number in _term(part, _WEEK_DAY))


def _numbers(text: str, field: _Field) -> frozenset[int]:
    return frozenset().union(*(_term(part, field) for part in text.split(",")))


def _term(part: str, field: _Field) -> set[int]:
    """`*`, `a` or `a-b`, with or without `/n`. A range whose end lies before its start goes on from the beginning."""
    span, slash, step = part.partition("/")
    every = _step(step, part, field) if slash else 1
    start, dash, end = span.partition("-")
    first = field.low if span == "*" else _number(start, part, field)
    last = _number(end, part, field) if dash else field.high if slash or span == "*" else first
    if last < first:
        if field is _YEAR:
            raise InvalidSchedule(
                "order", _("The years %(part)s run backwards. Write the earlier one first."), part=part
            )
        last += field.size
    return {field.low + (number - field.low) % field.size for number in range(first, last + 1, every)}


def _number(text: str, part: str, field: _Field) -> int:
    if text in field.names:
        return field.low + field.names.index(text)
    highest = 7 if field is _WEEK_DAY else field.high
    if not (text.isascii() and text.isdigit() and field.low <= int(text) <= highest):
        raise InvalidSchedule(
            "value",
            _("The field %(field)s does not take %(part)s. It takes %(takes)s; also *, lists, ranges and steps."),
            field=field.name,
            part=part,
            takes=field.takes,
        )
    return int(text)


def _step(text: str, part: str, field: _Field) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= field.size):
        raise InvalidSchedule(
            "step",
            _("The step of %(part)s in the field %(field)s must be from 1 to %(most)s. For other pauses: @every 90m."),
            field=field.name,
            part=part,
            most=field.size,
        )
    return int(text)


def _period(text: str) -> dt.timedelta:
    try:
        period = parse_duration(text)
    except InvalidDuration:
        period = dt.timedelta(0)
    if period.microseconds or not SHORTEST_PERIOD <= period <= LONGEST_PERIOD:
        raise InvalidSchedule(
            "period",
            _("@every takes whole seconds from 1s to 400d, such as 90s, 10m or 1h30m, not %(text)s."),
            text=text,
        )
    return period
