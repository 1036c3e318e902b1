"""`manage.py after_restore`: after a backup was restored, look at what would fire again before it does."""

from __future__ import annotations

import argparse
import datetime as dt

from django.core.management.base import BaseCommand, CommandParser
from django.utils.dateparse import parse_datetime
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from jobs.life.restore import (
    count_schedules_due,
    due_since_the_backup,
    go_on_after_restore,
    hold_after_restore,
)
from jobs.models import DelayedJob
from kernel.clock import rfc3339
from kernel.commands import one_sentence_errors
from kernel.visible import visible_line

_SHOWN = 100
_LINE_CHARACTERS = 60


def _moment(text: str) -> dt.datetime:
    """Read a time with a zone."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(_("write a time with a zone, such as 2030-01-31T08:00:00+08:00"))
    return moment


class Command(BaseCommand):
    """Holds the due scans, shows what they would start, and lets them run again."""

    help = "After a backup was restored: hold what is due, list it, then let it run (--go) or cancel it (--skip)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Exactly one of three."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--backup-taken", type=_moment, metavar="TIME", help="hold, and list what is due since then")
        what.add_argument("--go", action="store_true", help="let everything that is due start")
        what.add_argument("--skip", action="store_true", help="cancel the delayed jobs that are due, then go on")

    def handle(self, *, backup_taken: dt.datetime | None, skip: bool, **_options: object) -> None:
        """Call the services."""
        with one_sentence_errors():
            if backup_taken is None:
                count = go_on_after_restore(skip=skip)
                self.stdout.write(
                    _("%(count)s delayed jobs canceled. Due work starts again.") % {"count": count}
                    if skip
                    else _("Due work starts again.")
                )
                return
            hold_after_restore(backup_at=backup_taken)
            rows, count = due_since_the_backup(size=_SHOWN)
            schedules = count_schedules_due()
        self.stdout.write(_("Nothing that is due starts now. Since the backup these delayed jobs fell due:"))
        for row in rows:
            self.stdout.write(_line(row))
        self.stdout.write(
            _("%(count)s delayed jobs, and %(schedules)s schedules with a run behind them.")
            % {"count": count, "schedules": schedules}
        )
        self.stdout.write(
            _("Let them start: after_restore --go (agents that ran one refuse it). Cancel them: after_restore --skip")
        )


def _line(row: DelayedJob) -> str:
    target = row.agent.name if row.agent else row.queue.name if row.queue else row.url
    text = Truncator(visible_line(row.message)).chars(_LINE_CHARACTERS)
    return f"{rfc3339(row.due_at)}  {row.pk}  {row.owner.get_username()}  {target}  {text}"
