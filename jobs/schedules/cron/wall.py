"""The run times of a cron expression in local time, including clock changes (DST).

Two kinds of hours. Fixed times (`30 2 * * *`) mean a time of day: a time that the clock skips runs once after the
change, a repeated time runs the first time only. Fields that begin with a star match every local time, so a repeated
hour counts twice and a skipped one is not caught up.

The walk over months, days, hours, minutes and seconds is cronsim's, always without a zone: with one, it goes wrong
where clocks change by half an hour (Australia/Lord_Howe) or at midnight (America/Santiago).
"""

from __future__ import annotations

import bisect
import copy
import datetime as dt
from zoneinfo import ZoneInfo

from cronsim import CronSim

from jobs.schedules.cron.days import Days, WorkingDays
from jobs.schedules.cron.grammar import Fields

_SECOND = dt.timedelta(seconds=1)
_DAY = dt.timedelta(days=1)


class _Walk(CronSim):
    """cronsim's walk with our own rules for days."""

    def __init__(self, fields: Fields, days: Days) -> None:
        numbers = (fields.seconds, fields.minutes, fields.hours, days.months())
        second, minute, hour, month = (",".join(map(str, sorted(some))) for some in numbers)
        super().__init__(f"{second} {minute} {hour} * {month} *", dt.datetime(1970, 1, 1))  # noqa: DTZ001 a wall has no zone
        self._days = days

    def match_day(self, d: dt.date) -> bool:
        return d.day in self._days.of_month(d.year, d.month)

    def after(self, wall: dt.datetime) -> dt.datetime | None:
        """Return the next match after `wall`, or None where none comes within 50 years."""
        walk = copy.copy(self)
        walk.dt = wall.replace(microsecond=0)
        return next(walk, None)


class WallClock:
    """The runs of an expression in one zone."""

    def __init__(self, fields: Fields, zone: ZoneInfo, working_days: WorkingDays | None) -> None:
        self._walk = _Walk(fields, Days(fields, working_days))
        self._years = None if fields.years is None else sorted(fields.years)
        self._every_hour = fields.every_hour
        self._zone = zone

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """Return the first run after `moment`, in UTC, or None where no more comes."""
        start = moment.astimezone(dt.UTC).replace(microsecond=0)
        return self._after_by_elapsed_time(start) if self._every_hour else self._after_by_time_of_day(start)

    def _after_by_time_of_day(self, start: dt.datetime) -> dt.datetime | None:
        wall = self._wall_at(start, self._offset(start))
        while (found := self._match_after(wall)) is not None:
            run = self._moment_of(found)
            if run > start:
                return run
            wall = found  # the first of two equal times is over, and the clock shows the second
        return None

    def _after_by_elapsed_time(self, start: dt.datetime) -> dt.datetime | None:
        """Look as if the offset stayed; where it changes before what was found, look again from there.

        Changes are looked for within a day. A result further ahead is searched again one day before it.
        """
        offset = self._offset(start)
        while (found := self._match_after(self._wall_at(start, offset))) is not None:
            run = found.replace(tzinfo=dt.UTC) - offset
            seen = min(run, start + _DAY)
            change = self._change(start, seen, offset)
            if change is not None:
                start, offset = change - _SECOND, self._offset(change)
            elif seen == run:
                return run
            else:
                start = max(seen, run - _DAY)
                offset = self._offset(start)
        return None

    def _match_after(self, wall: dt.datetime) -> dt.datetime | None:
        if self._years is None:
            return self._walk.after(wall)
        for year in self._years[bisect.bisect_left(self._years, wall.year) :]:
            found = self._walk.after(max(wall, dt.datetime(year, 1, 1) - _SECOND))  # noqa: DTZ001
            if found is None or found.year == year:
                return found
        return None

    def _moment_of(self, wall: dt.datetime) -> dt.datetime:
        """The first moment at which the clock shows `wall`, or jumps over it."""
        moment = wall.replace(tzinfo=self._zone).astimezone(dt.UTC)
        if self._wall_at(moment, self._offset(moment)) == wall:
            return moment
        before = moment - _DAY - _SECOND
        return self._change(before, moment, self._offset(before)) or moment

    def _change(self, start: dt.datetime, end: dt.datetime, offset: dt.timedelta) -> dt.datetime | None:
        """The moment after `start`, up to `end`, from which the zone has another offset than this one."""
        if self._offset(end) == offset:
            return None
        seconds = range(1, int((end - start).total_seconds()) + 1)
        at = bisect.bisect_left(seconds, True, key=lambda second: self._offset(start + second * _SECOND) != offset)
        return start + seconds[at] * _SECOND

    def _offset(self, moment: dt.datetime) -> dt.timedelta:
        return moment.astimezone(self._zone).replace(tzinfo=dt.UTC) - moment

    @staticmethod
    def _wall_at(moment: dt.datetime, offset: dt.timedelta) -> dt.datetime:
        return (moment + offset).replace(tzinfo=None)
