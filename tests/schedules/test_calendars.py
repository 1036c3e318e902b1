"""Calendars of working days: the shipped one, imports, edits by staff, and the warning before the list ends."""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import AuditEntry, User
from jobs.models import CalendarDay, Schedule, WorkCalendar
from jobs.schedules.calendars import SHIPPED, WorkingDays, import_calendar, read_calendar_file, warn_of_calendars
from kernel.errors import InvalidRequest
from kernel.strictjson import parse_object
from notifications.channels.service import create_channel
from notifications.models import Message
from tests.factories import make_user
from tests.schedules.rows import NOON, make_schedule

pytestmark = pytest.mark.django_db


@pytest.fixture
def china() -> WorkCalendar:
    """The shipped calendar."""
    return import_calendar(read_calendar_file(parse_object(SHIPPED.read_bytes())), actor="test")


def test_the_shipped_year_is_as_the_state_council_announced_it(china: WorkCalendar) -> None:
    days = WorkingDays(china)
    year = [dt.date(2026, 1, 1) + dt.timedelta(days=later) for later in range(365)]
    weekdays_off = [day for day in year if day.weekday() < 5 and not days.includes(day)]
    weekend_worked = [f"{day:%m-%d}" for day in year if day.weekday() >= 5 and days.includes(day)]
    assert weekend_worked == ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"]
    assert len(weekdays_off) == 19
    assert len([day for day in year if days.includes(day)]) == 261 - 19 + 6
    assert [days.name_of(dt.date(2026, month, day)) for month, day in ((2, 17), (10, 1), (3, 3))] == [
        "春节", "国庆节", "",
    ]  # fmt: skip


def test_a_migration_has_made_it() -> None:
    # An earlier test may have emptied every table.
    calendar = WorkCalendar.objects.filter(code="cn").first()
    assert calendar is None or calendar.known_until >= dt.date(2026, 12, 31)


def test_a_file_is_read_in_whole_or_not_at_all(china: WorkCalendar, tmp_path: Path) -> None:
    WorkCalendar.objects.update(warned_at=NOON)
    file = tmp_path / "2090.json"
    days = [{"from": "2090-01-01", "name": "元旦", "works": True}, {"from": "2090-01-02", "to": "2090-01-03"}]
    file.write_text(json.dumps({"code": "cn", "name": "中国", "known_until": "2090-12-31", "days": days}))
    schedule = make_schedule(cron="0 0 8 1C 1 ? 2090", timezone="Asia/Shanghai", calendar="cn")
    # The first of January is a Sunday.
    assert schedule.next_at == dt.datetime(2090, 1, 2, tzinfo=dt.UTC)
    before = CalendarDay.objects.count()
    said = io.StringIO()
    call_command("import_calendar", str(file), stdout=said)
    assert "2090-12-31" in said.getvalue()
    assert CalendarDay.objects.count() == before + 3
    china.refresh_from_db()
    assert (china.known_until, china.warned_at, china.name) == (dt.date(2090, 12, 31), None, "中国")
    # The next runs of its schedules are computed again, if they are in the future.
    assert Schedule.objects.get().next_at == dt.datetime(2090, 1, 1, tzinfo=dt.UTC)
    assert AuditEntry.objects.filter(action="calendar.import").count() == 2
    file.write_text("{}")
    with pytest.raises(CommandError):
        call_command("import_calendar", str(file))
    with pytest.raises(CommandError):
        call_command("import_calendar", str(tmp_path / "none.json"))


def test_files_that_say_nothing_are_refused() -> None:
    good: dict[str, Any] = {"code": "x", "name": "x", "known_until": "2027-12-31", "days": []}
    wrong: list[dict[str, Any]] = [
        {"code": ""}, {"name": 5}, {"known_until": "soon"}, {"known_until": "2027-02-30"}, {"days": None},
        {"days": ["2027-01-01"]}, {"days": [{"from": "x"}]}, {"days": [{"from": "2027-01-02", "to": "2027-01-01"}]},
        {"days": [{"from": "2027-01-02", "works": 1}]}, {"days": [{"from": "2027-01-01", "to": "2028-01-01"}]},
    ]  # fmt: skip
    for change in wrong:
        with pytest.raises(InvalidRequest):
            read_calendar_file(good | change)
    assert read_calendar_file(good).days == {}


def test_staff_whom_a_channel_reaches_are_warned_once_in_time(china: WorkCalendar) -> None:
    bob, unreached, alice = make_user("bob"), make_user("root"), make_user("alice")
    User.objects.filter(pk__in=[bob.pk, unreached.pk]).update(is_staff=True)
    for person in (bob, alice):
        create_channel(
            owner_id=person.pk, name="c", driver="webhook", settings={"url": "https://hooks.example/"},
            levels=["info", "warning"], actor="test",
        )  # fmt: skip
    early, late = (dt.datetime(2026, 11, day, 12, tzinfo=dt.UTC) for day in (15, 16))
    assert [warn_of_calendars(now=now) for now in (early, late, late)] == [0, 1, 0]
    (told,) = Message.objects.all()
    assert told.owner_id == bob.pk
    assert "2026-12-31" in told.text


def test_staff_edit_days_and_the_audit_trail_says_so(china: WorkCalendar) -> None:
    root = User.objects.create_superuser("root", password="a long enough one")
    client = Client()
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    page = "/admin/jobs/calendarday/add/"
    day = {"calendar": china.pk, "day": "2027-01-01", "name": "元旦"}
    assert client.post(page, day).status_code == 302
    row = CalendarDay.objects.get(day="2027-01-01")
    assert client.post(f"/admin/jobs/calendarday/{row.pk}/change/", {**day, "works": "on"}).status_code == 302
    assert client.post(f"/admin/jobs/calendarday/{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not CalendarDay.objects.filter(pk=row.pk).exists()
    WorkCalendar.objects.update(warned_at=NOON)
    fields = {"code": "cn", "name": china.name, "known_until": "2027-12-31"}
    assert client.post(f"/admin/jobs/workcalendar/{china.pk}/change/", fields).status_code == 302
    china.refresh_from_db()
    assert (china.known_until, china.warned_at) == (dt.date(2027, 12, 31), None)
    said = [entry.action for entry in AuditEntry.objects.filter(action__startswith="calendar").order_by("sequence")]
    assert said == [
        "calendar.import",
        "calendar_day.create",
        "calendar_day.change",
        "calendar_day.delete",
        "calendar.change",
    ]
    assert client.get("/admin/jobs/workcalendar/").status_code == 200
