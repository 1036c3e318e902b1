"""One plain sentence for an expression, from its numbers and not from its spelling: `0/30` and `*/30` sound alike.

Each piece is translated as a whole. Pieces follow each other as a language wants them: English goes from the time to
the year, Chinese from the year to the time. cron-descriptor was tried and left: it leaves hours out, says that the
4th *and* a Monday are asked where either will do, and keeps English names in Chinese.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import pairwise, product

from django.utils import translation
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from jobs.schedules.cron.grammar import DayKind, DayRule, Fields

_MOST_TIMES = 6
_DAY = 86_400
_PACES = (
    (86_400, gettext_lazy("every day"), gettext_lazy("every %(count)s days")),
    (3600, gettext_lazy("every hour"), gettext_lazy("every %(count)s hours")),
    (60, gettext_lazy("every minute"), gettext_lazy("every %(count)s minutes")),
    (1, gettext_lazy("every second"), gettext_lazy("every %(count)s seconds")),
)
_NTH = (
    gettext_lazy("on the first %(day)s of the month"),
    gettext_lazy("on the second %(day)s of the month"),
    gettext_lazy("on the third %(day)s of the month"),
    gettext_lazy("on the fourth %(day)s of the month"),
    gettext_lazy("on the fifth %(day)s of the month"),
)


def sentence(read: Fields | dt.timedelta, timezone: str, language: str) -> str:
    """Say when it runs, in `zh-hans` or `en`, with the zone."""
    with translation.override(language):
        if isinstance(read, dt.timedelta):
            when = _every(int(read.total_seconds()))
        else:
            when = _joined([*_times_and_days(read), *_months(read), *_years(read)])
        return _("%(when)s (time zone %(zone)s)") % {"when": when[0].upper() + when[1:], "zone": timezone}


def _joined(pieces: Iterable[str]) -> str:
    return reduce(lambda when, further: _("%(when)s, %(further)s") % {"when": when, "further": further}, pieces)


def _listed(pieces: Iterable[str]) -> str:
    *first, last = pieces
    if not first:
        return last
    before = reduce(lambda some, one: _("%(some)s, %(one)s") % {"some": some, "one": one}, first)
    return _("%(some)s and %(last)s") % {"some": before, "last": last}


def _ranges(values: Iterable[int]) -> Iterator[list[int]]:
    """Runs of three or more neighbours as [first, last], others as [number]."""
    run: list[int] = []
    for value in [*sorted(values), None]:
        if run and value != run[-1] + 1:
            yield from [[run[0], run[-1]]] if len(run) > 2 else [[one] for one in run]
            run = []
        if value is not None:
            run.append(value)


def _numbers(values: Iterable[int]) -> str:
    return _listed("-".join(map(str, one)) for one in _ranges(values))


def _named(values: Iterable[int], names: dict[int, str]) -> str:
    ranges = ([str(names[number]) for number in one] for one in _ranges(values))
    return _listed(
        _("%(first)s to %(last)s") % {"first": one[0], "last": one[1]} if one[1:] else one[0] for one in ranges
    )


def _every(seconds: int) -> str:
    unit, one, more = next(pace for pace in _PACES if seconds % pace[0] == 0)
    count = seconds // unit
    return str(one) if count == 1 else more % {"count": count}


def _pace(values: list[int], size: int) -> int | None:
    """The step, if the values have equal distances around a circle of this size, beginning at 0."""
    step = size // len(values)
    return step if values == list(range(0, size, step)) else None


def _clock(second: int, with_seconds: bool) -> str:
    shown = f"{second // 3600:02}:{second // 60 % 60:02}"
    return f"{shown}:{second % 60:02}" if with_seconds else shown


def _times_and_days(read: Fields) -> Iterator[str]:
    """Times of day: all of them where they are few, else their pace, else what each field asks. Then the days."""
    hours, minutes, seconds = (sorted(values) for values in (read.hours, read.minutes, read.seconds))
    times = [hour * 3600 + minute * 60 + second for hour, minute, second in product(hours, minutes, seconds)]
    with_seconds = seconds != [0]
    steps = {after - before for before, after in pairwise(times)}
    pace = _pace(times, _DAY)
    if len(times) <= _MOST_TIMES:
        yield _("at %(times)s") % {"times": _listed(_clock(time, with_seconds) for time in times)}
    elif pace:
        yield _every(pace)
    elif len(steps) == 1:
        ends = {"first": _clock(times[0], with_seconds), "last": _clock(times[-1], with_seconds)}
        yield _("%(every)s from %(first)s to %(last)s") % {"every": _every(steps.pop()), **ends}
    else:
        yield from _parts_of_times(hours, minutes, seconds)
    if read.month_days or read.week_days:
        yield _days(read)
    elif not pace or len(times) <= _MOST_TIMES:
        yield _("every day")


def _parts_of_times(hours: list[int], minutes: list[int], seconds: list[int]) -> Iterator[str]:
    pace = _pace([minute * 60 + second for minute, second in product(minutes, seconds)], 3600)
    yield from [_every(pace)] if pace else _parts_of_hour(minutes, seconds)
    if len(hours) < 24:
        yield _("in hour %(numbers)s") % {"numbers": _numbers(hours)}
    elif not _pace(minutes, 60):
        yield _every(3600)


def _parts_of_hour(minutes: list[int], seconds: list[int]) -> Iterator[str]:
    of_seconds = _pace(seconds, 60) if len(seconds) > 1 else None
    of_minutes = _pace(minutes, 60) if not of_seconds else None
    if of_seconds:
        yield _every(of_seconds)
    elif seconds != [0]:
        yield _("at second %(numbers)s") % {"numbers": _numbers(seconds)}
    if of_minutes:
        yield _every(of_minutes * 60)
    else:
        yield _("in minute %(numbers)s") % {"numbers": _numbers(minutes)}


def _days(read: Fields) -> str:
    of_month, of_week = (_listed(_phrases(rules)) if rules else "" for rules in (read.month_days, read.week_days))
    if not (of_month and of_week):
        return of_month or of_week
    both = _("%(one)s and also %(other)s") if read.either else _("%(one)s, but only %(other)s")
    return both % {"one": of_month, "other": of_week}


def _phrases(rules: frozenset[DayRule]) -> Iterator[str]:
    plain = {kind: {rule.number for rule in rules if rule.kind is kind} for kind in (DayKind.DAY, DayKind.WEEKDAY)}
    if plain[DayKind.DAY]:
        yield _("on day %(numbers)s of the month") % {"numbers": _numbers(plain[DayKind.DAY])}
    if plain[DayKind.WEEKDAY]:
        # WEEKDAYS begins with Monday; so do weeks in sentences.
        yield _("on %(days)s") % {"days": _named({(day - 1) % 7 for day in plain[DayKind.WEEKDAY]}, WEEKDAYS)}
    for rule in sorted((rule for rule in rules if rule.kind not in plain), key=lambda rule: (rule.kind.name, rule)):
        yield _phrase(rule)


def _phrase(rule: DayRule) -> str:
    weekday = {"day": WEEKDAYS[(rule.number - 1) % 7]}
    match rule.kind:
        case DayKind.BEFORE_LAST if rule.number == 0:
            return _("on the last day of the month")
        case DayKind.BEFORE_LAST:
            return _("%(count)s days before the last day of the month") % {"count": rule.number}
        case DayKind.LAST_WORKDAY:
            return _("on the last day of the month from Monday to Friday")
        case DayKind.NEAREST_WORKDAY:
            return _("on the day from Monday to Friday nearest to day %(number)s") % {"number": rule.number}
        case DayKind.WORKED_FROM_DAY:
            return _("on the first working day from day %(number)s of the month on") % {"number": rule.number}
        case DayKind.LAST_WEEKDAY:
            return _("on the last %(day)s of the month") % weekday
        case DayKind.NTH_WEEKDAY:
            return _NTH[rule.nth - 1] % weekday
        case _:
            return _("on the first working day from %(day)s on") % weekday


def _months(read: Fields) -> Iterator[str]:
    if len(read.months) < 12:
        yield _("in %(months)s") % {"months": _named(read.months, MONTHS)}


def _years(read: Fields) -> Iterator[str]:
    if read.years is not None:
        yield _("in the year %(years)s") % {"years": _numbers(read.years)}
