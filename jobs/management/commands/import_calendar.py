"""`manage.py import_calendar [FILE]`."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from jobs.schedules.calendars import SHIPPED, import_calendar, read_calendar_file
from jobs.schedules.service import reckon_anew
from kernel.commands import one_sentence_errors
from kernel.strictjson import parse_object


class Command(BaseCommand):
    """Reads a calendar's file in, whole or not at all."""

    help = "Add the holidays and worked weekend days of a JSON file to its calendar; without a file, ours of China."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the path."""
        parser.add_argument("file", nargs="?", type=Path, default=SHIPPED)

    def handle(self, *, file: Path, **_options: object) -> None:
        """Call the services."""
        try:
            content = file.read_bytes()
        except OSError as error:
            raise CommandError(_("%(file)s cannot be read: %(error)s") % {"file": file, "error": error}) from error
        with one_sentence_errors():
            calendar = import_calendar(read_calendar_file(parse_object(content)), actor="command")
            reckon_anew(calendar)
        self.stdout.write(f"{calendar.code}: {calendar.days.count()} days, complete up to {calendar.known_until}")
