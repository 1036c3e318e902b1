import datetime as dt
import json
from pathlib import Path

from django.db import migrations

_FILE = Path(__file__).resolve().parent.parent / "calendars" / "cn.json"


def load(apps, schema_editor):
    """Make the calendar of China as the file has it; what staff have made already stays."""
    calendars = apps.get_model("jobs", "WorkCalendar")
    days = apps.get_model("jobs", "CalendarDay")
    said = json.loads(_FILE.read_text(encoding="utf-8"))
    calendar, made = calendars.objects.get_or_create(
        code=said["code"],
        defaults={"name": said["name"], "known_until": dt.date.fromisoformat(said["known_until"])},
    )
    if not made:
        return
    for row in said["days"]:
        first = dt.date.fromisoformat(row["from"])
        last = dt.date.fromisoformat(row.get("to", row["from"]))
        for later in range((last - first).days + 1):
            days.objects.create(
                calendar=calendar,
                day=first + dt.timedelta(days=later),
                works=row.get("works", False),
                name=row["name"],
            )


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0004_runs_that_wait"),
    ]

    operations = [
        migrations.RunPython(load, migrations.RunPython.noop),
    ]
