"""Whether due work is looked for: a worker notes when a tick last did its work, and every process looks at the note."""

from __future__ import annotations

import datetime as dt
import logging

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from jobs.models import Ticker
from kernel.clock import database_now
from kernel.transactions import named_transaction, retry_transaction
from notifications.messages.notify import notify_staff

logger = logging.getLogger(__name__)

PATIENCE = dt.timedelta(seconds=60)
_STANDS_STILL = _(
    "Since %(time)s no due work has been looked for: delayed jobs, schedules and deadlines stand still. "
    "Look at the logs of worker and beat."
)


def note_progress(worked_at: dt.datetime) -> None:
    """Note that a tick did its work at this moment of the database's clock."""

    def note() -> None:
        with named_transaction("ticker.progress"):
            ticker, _made = Ticker.objects.select_for_update().get_or_create(pk=1)
            ticker.worked_at = worked_at
            if ticker.silent_since is not None:
                ticker.silent_since = None
                logger.warning("due work is looked for again", extra={"action": "ticker.works"})
            ticker.save(update_fields=["worked_at", "silent_since"])

    retry_transaction(note)


def look_for_progress(*, watched_since: dt.datetime, now: dt.datetime | None = None) -> None:
    """Log and notify staff, once an episode, if no tick has done its work for a minute.

    The minute begins at `watched_since` at the earliest: a product that was down has had no ticks. Before the first
    tick of a database nothing is expected.
    """

    def look() -> None:
        with named_transaction("ticker.look"):
            at = now or database_now()
            ticker = Ticker.objects.select_for_update().filter(pk=1, silent_since=None).first()
            if ticker is None or ticker.worked_at is None or at - max(ticker.worked_at, watched_since) <= PATIENCE:
                return
            ticker.silent_since = ticker.worked_at
            ticker.save(update_fields=["silent_since"])
            since = timezone.localtime(ticker.worked_at).strftime("%Y-%m-%d %H:%M:%S")
            notify_staff(_STANDS_STILL, {"time": since}, now=at)
            logger.error("no due work is looked for", extra={"action": "ticker.silent", "since": since})

    retry_transaction(look)
