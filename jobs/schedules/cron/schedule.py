"""A cron expression in a time zone: when it runs next, how often, and what it says. Start here.

Knows no model and reads no clock but to refuse what is over. tests/cron/examples.json lists the expressions that must
work, with their times.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from jobs.schedules.cron import words
from jobs.schedules.cron.days import WorkingDays
from jobs.schedules.cron.grammar import WEEK_DAY_NAMES, Fields, InvalidSchedule, read_expression, split_zone
from jobs.schedules.cron.wall import WallClock

__all__ = ["Cron", "InvalidSchedule", "WorkingDays"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# The number of runs that are examined for the shortest gap. The gaps within a day come early, those between days within
# two years.
_GAP_RUNS = 1000
_GAP_SPAN = dt.timedelta(days=2 * 366)


class _Timing(Protocol):
    def after(self, moment: dt.datetime) -> dt.datetime | None: ...


@dataclass(frozen=True, slots=True)
class _Every:
    """Runs whenever a whole number of periods has passed since the anchor; the anchor itself is none."""

    period: dt.timedelta
    anchor: dt.datetime

    def after(self, moment: dt.datetime) -> dt.datetime:
        return self.anchor + max((moment - self.anchor) // self.period + 1, 1) * self.period


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that has at least one further run. `expression` is as given, `timezone` the one that holds."""

    expression: str
    timezone: str
    _read: Fields | dt.timedelta
    _timing: _Timing

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        timezone: str,
        calendar: WorkingDays | None = None,
        anchor: dt.datetime | None = None,
        now: dt.datetime | None = None,
    ) -> Cron:
        """Read an expression; `CRON_TZ=Zone` or `TZ=Zone` before it counts instead of `timezone`.

        `calendar` decides about `5C`; without one every day is a working day. `@every` counts from `anchor`, the
        schedule's own start (without one: 1970). `now` is the moment after which a run must come. Raises
        InvalidSchedule.
        """
        named, expression = split_zone(text.strip())
        zone = _zone(timezone if named is None else named)
        read = read_expression(expression)
        timing: _Timing
        if isinstance(read, Fields):
            timing = WallClock(read, zone, calendar)
        else:
            timing = _Every(read, (anchor or _EPOCH).astimezone(dt.UTC))
        if timing.after(now or dt.datetime.now(dt.UTC)) is None:
            raise InvalidSchedule(
                "never", _("No such day is ever to come. Look at the day, the month and the year of the schedule.")
            )
        return cls(text.strip(), zone.key, read, timing)

    def next_after(self, moment: dt.datetime) -> dt.datetime | None:
        """Return the first run strictly after an aware moment, in UTC; None when its last year is over."""
        return self._timing.after(moment)

    def upcoming(self, moment: dt.datetime, count: int) -> list[dt.datetime]:
        """Return the next runs after a moment, in order: `count` of them, fewer when its last year is over."""
        return list(islice(self._runs(moment), count))

    def shortest_gap(self, moment: dt.datetime | None = None) -> dt.timedelta:
        """Return the smallest distance between two of the next 1,000 runs (two years at most, but always two runs).

        `timedelta.max` if only one run is left.
        """
        start = moment or dt.datetime.now(dt.UTC)
        shortest = dt.timedelta.max
        for run, following in pairwise(islice(self._runs(start), _GAP_RUNS)):
            shortest = min(shortest, following - run)
            if following - start > _GAP_SPAN:
                break
        return shortest

    @property
    def warnings(self) -> list[str]:
        """Warnings about valid expressions that often mean something else: sentences in the active language."""
        if isinstance(self._read, dt.timedelta):
            return []
        return [
            gettext("%(part)s counts Sunday as 0 or 7, some programs count it as 1. Better write the name: %(named)s.")
            % {"part": part, "named": f"{WEEK_DAY_NAMES[int(part[0]) % 7]}{part[1:]}"}
            for part in self._read.numbered
        ]

    def sentence(self, language: str) -> str:
        """Say in one sentence when it runs, with the zone, in `zh-hans` or `en`."""
        return words.sentence(self._read, self.timezone, language)

    def _runs(self, moment: dt.datetime) -> Iterator[dt.datetime]:
        run: dt.datetime | None = moment
        while run and (run := self._timing.after(run)):
            yield run


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a folder, such as America
        raise InvalidSchedule(
            "zone", _("There is no time zone %(name)s. Write one such as Asia/Shanghai or UTC."), name=name
        ) from error
