"""Calendars of working days: questions, the import of a year's file, and the warning before a list ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from django.utils.dateparse import parse_date
from django.utils.translation import gettext_lazy as _

from accounts.services.audit import record_audit
from jobs.models import CalendarDay, WorkCalendar
from kernel.clock import database_now
from kernel.errors import InvalidRequest, NotFound
from kernel.strictjson import JsonObject, JsonValue
from kernel.transactions import named_transaction
from notifications.messages.notify import notify_staff

SHIPPED = Path(__file__).resolve().parent.parent / "calendars" / "cn.json"
"""China's public holidays and worked weekend days, as the State Council announces them each November."""

WARN_BEFORE = dt.timedelta(days=45)
_LONGEST_REST = dt.timedelta(days=60)
_MOST_DAYS = 1000
_ENDS_SOON = _(
    "The calendar %(name)s (%(code)s) knows holidays only up to %(day)s. Import the next year, or add its days in "
    "the administration: after that day every weekend rests and every other day works."
)
_SATURDAY = 5


@dataclass(frozen=True)
class WorkingDays:
    """The working days of a calendar: Monday to Friday, except the listed days. The list is read at first use."""

    calendar: WorkCalendar

    def includes(self, day: dt.date) -> bool:
        """Tell whether `day` is a working day."""
        listed = self._listed.get(day)
        return day.weekday() < _SATURDAY if listed is None else listed.works

    def name_of(self, day: dt.date) -> str:
        """Return the name of a listed day, empty for any other day."""
        listed = self._listed.get(day)
        return listed.name if listed is not None else ""

    @cached_property
    def _listed(self) -> Mapping[dt.date, CalendarDay]:
        return {row.day: row for row in self.calendar.days.all()}


def find_calendar(code: str) -> WorkCalendar:
    """Return the calendar with that code; raise NotFound that names the known codes."""
    found = WorkCalendar.objects.filter(code=code).first()
    if found is None:
        there = ", ".join(WorkCalendar.objects.order_by("code").values_list("code", flat=True))
        raise NotFound(_("There is no calendar with that code. There are: %(codes)s."), params={"codes": there})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarFile:
    """A checked calendar file. `days` maps each exceptional day to (is a working day, name)."""

    code: str
    name: str
    known_until: dt.date
    days: Mapping[dt.date, tuple[bool, str]]


def read_calendar_file(data: JsonObject) -> CalendarFile:
    """Read {"code", "name", "known_until", "days": [{"from", "to"?, "works"?, "name"?}]}; raise InvalidRequest.

    `to` is the last day of a row and defaults to `from`. `works` marks weekend days that are working days.
    """
    rows = data.get("days")
    if not isinstance(rows, list):
        raise InvalidRequest(_("%(field)s must be a list."), params={"field": "days"})
    days: dict[dt.date, tuple[bool, str]] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InvalidRequest(_("%(field)s must be an object."), params={"field": f"days[{number}]"})
        first = _day(row.get("from"), f"days[{number}].from")
        last = _day(row.get("to", row.get("from")), f"days[{number}].to")
        works = row.get("works", False)
        if not isinstance(works, bool):
            raise InvalidRequest(_("%(field)s must be true or false."), params={"field": f"days[{number}].works"})
        if not dt.timedelta(0) <= last - first <= _LONGEST_REST:
            raise InvalidRequest(
                _("%(field)s must not lie before from, nor far behind it."), params={"field": f"days[{number}].to"}
            )
        name = _word(row.get("name", ""), f"days[{number}].name", 64, needed=False)
        days |= {first + dt.timedelta(days=later): (works, name) for later in range((last - first).days + 1)}
    if len(days) > _MOST_DAYS:
        raise InvalidRequest(_("A calendar's file has at most %(limit)s days."), params={"limit": _MOST_DAYS})
    return CalendarFile(
        code=_word(data.get("code"), "code", 32),
        name=_word(data.get("name"), "name", 64),
        known_until=_day(data.get("known_until"), "known_until"),
        days=days,
    )


def import_calendar(file: CalendarFile, *, actor: str) -> WorkCalendar:
    """Create the calendar, or add the file's days to it. The file replaces days that are listed already.

    `known_until` becomes the later of both ends. If it moves, staff get a new warning before it is reached.
    """
    with named_transaction("calendar.import"):
        now = database_now()
        calendar, _made = WorkCalendar.objects.get_or_create(
            code=file.code, defaults={"name": file.name, "known_until": file.known_until}
        )
        calendar = WorkCalendar.objects.select_for_update().get(pk=calendar.pk)
        if file.known_until > calendar.known_until:
            calendar.known_until, calendar.warned_at = file.known_until, None
        calendar.name = file.name
        calendar.save(update_fields=["name", "known_until", "warned_at"])
        CalendarDay.objects.filter(calendar=calendar, day__in=file.days).delete()
        CalendarDay.objects.bulk_create(
            CalendarDay(calendar=calendar, day=day, works=works, name=name)
            for day, (works, name) in sorted(file.days.items())
        )
        record_audit(
            actor=actor,
            action="calendar.import",
            subject=f"calendar:{calendar.code}",
            now=now,
            details={"days": len(file.days), "known_until": calendar.known_until.isoformat()},
        )
    return calendar


def runs_out(calendar: WorkCalendar, today: dt.date) -> bool:
    """Tell whether the list ends within WARN_BEFORE, or has ended."""
    return calendar.known_until - WARN_BEFORE <= today


def warn_of_calendars(*, now: dt.datetime | None = None) -> int:
    """Warn staff with a channel, once, of each calendar whose list ends within 45 days; return how many calendars."""
    with named_transaction("calendar.warn"):
        now = now or database_now()
        rows = WorkCalendar.objects.select_for_update().filter(warned_at=None).order_by("pk")
        ending = [calendar for calendar in rows if runs_out(calendar, now.date())]
        for calendar in ending:
            params = {"name": calendar.name, "code": calendar.code, "day": calendar.known_until}
            notify_staff(_ENDS_SOON, params, now=now)
        WorkCalendar.objects.filter(pk__in=[calendar.pk for calendar in ending]).update(warned_at=now)
    return len(ending)


def _day(value: JsonValue, field: str) -> dt.date:
    try:
        day = parse_date(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None:
        raise InvalidRequest(_("%(field)s must be a day such as 2030-01-31."), params={"field": field})
    return day


def _word(value: JsonValue, field: str, limit: int, *, needed: bool = True) -> str:
    if not isinstance(value, str) or (needed and not value):
        raise InvalidRequest(_("%(field)s must be text."), params={"field": field})
    if len(value) > limit:
        raise InvalidRequest(
            _("%(field)s has more than %(limit)s characters."), params={"field": field, "limit": limit}
        )
    return value
