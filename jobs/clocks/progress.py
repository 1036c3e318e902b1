"""Whether due work is looked for: a worker notes when a tick last did its work, and every process looks at the note."""

from __future__ import annotations

import datetime as dt
import logging

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from jobs.models import Ticker
from kernel.clock import database_now
from notifications.messages.notify import notify_staff

logger = logging.getLogger(__name__)

_STANDS_STILL = _(
    "Since %(time)s no due work has been looked for: delayed jobs, schedules and deadlines stand still. "
    "Look at the logs of worker and beat."
)


def note_progress(worked_at: dt.datetime) -> None:
    """Note that a tick did its work at this moment of the database's clock."""
    with transaction.atomic():
        ticker, _made = Ticker.objects.select_for_update().get_or_create(pk=1)
        ticker.worked_at = worked_at
        if ticker.silent_since is not None:
            ticker.silent_since = None
            logger.warning("due work is looked for again", extra={"action": "ticker.works"})
        ticker.save(update_fields=["worked_at", "silent_since"])


def last_progress() -> dt.datetime | None:
    """Return when a tick last did its work; None: never."""
    return Ticker.objects.filter(pk=1).values_list("worked_at", flat=True).first()


def ticks_silent_since() -> dt.datetime | None:
    """Return since when no tick has done its work; None: ticks work, or a minute has not passed."""
    return Ticker.objects.filter(pk=1).values_list("silent_since", flat=True).first()


def report_silence(*, since: dt.datetime, now: dt.datetime | None = None) -> None:
    """Log and notify staff, once an episode, that no tick has done its work since `since`, the last progress."""
    with transaction.atomic():
        ticker = Ticker.objects.select_for_update().filter(pk=1, silent_since=None, worked_at=since).first()
        if ticker is None:
            return
        ticker.silent_since = since
        ticker.save(update_fields=["silent_since"])
        shown = timezone.localtime(since).strftime("%Y-%m-%d %H:%M:%S")
        notify_staff(_STANDS_STILL, {"time": shown}, now=now or database_now())
        logger.error("no due work is looked for", extra={"action": "ticker.silent", "since": shown})
