"""After a backup was restored: the rows say that what has fired since is still to come. Staff look before it does."""

from __future__ import annotations

import datetime as dt

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from jobs.delayed.ends import end_rows
from jobs.life.ticker import hold_ticker, let_ticker_run
from jobs.models import DelayedJob, DelayedState, Schedule
from kernel.clock import database_now
from kernel.errors import InvalidRequest
from kernel.transactions import named_transaction

RESTORED = "restored"
"""The reason of rows that are canceled because they probably fired before the restore."""

_BATCH = 500


def hold_after_restore(*, backup_at: dt.datetime) -> None:
    """Hold the due scans. `backup_at` lies in the past; raises InvalidRequest. Again: the time is corrected."""
    if backup_at >= database_now():
        raise InvalidRequest(_("The time of the backup lies in the past."))
    hold_ticker(backup_at=backup_at)


def due_since_the_backup(*, size: int, now: dt.datetime | None = None) -> tuple[list[DelayedJob], int]:
    """Return the first of the delayed jobs that are due, and how many there are.

    Rows that were due when the backup was taken, and had not fired yet, are included: they fired right after it.
    """
    due = _due(now or database_now())
    return list(due.select_related("owner", "agent", "queue").order_by("due_at", "id")[:size]), due.count()


def count_schedules_due(*, now: dt.datetime | None = None) -> int:
    """Return how many schedules have a moment behind them; what each does with it, its rule for missed runs says."""
    return Schedule.objects.filter(enabled=True, next_at__lte=now or database_now()).count()


def go_on_after_restore(*, skip: bool) -> int:
    """Let the due scans run again; with `skip`, cancel first what is due, and return how many."""
    count = 0
    if skip:
        now = database_now()
        while canceled := _cancel_some(now):
            count += canceled
    let_ticker_run()
    return count


def _cancel_some(now: dt.datetime) -> int:
    with named_transaction("restore.skip"):
        rows = list(_due(now).select_for_update().order_by("due_at", "id")[:_BATCH])
        end_rows(rows, DelayedState.CANCELED, now=now, reason=RESTORED)
    return len(rows)


def _due(now: dt.datetime) -> QuerySet[DelayedJob]:
    return DelayedJob.objects.filter(state=DelayedState.SCHEDULED, due_at__lte=now)
