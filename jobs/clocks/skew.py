"""How far the clock of each process, and Redis's, is from the database's."""

from __future__ import annotations

import datetime as dt
import logging

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from jobs.models import ProcessClock
from kernel.clock import database_now
from notifications.messages.notify import notify_staff

logger = logging.getLogger(__name__)

OVER_SECONDS = 1.0
_RIGHT_SECONDS = 0.5
"""An episode ends below this, so that a clock at the limit is not reported again and again."""

_FORGOTTEN_AFTER = dt.timedelta(days=1)
_IS_OFF = _(
    "The clock of %(name)s is %(seconds)s s away from the database's. Due work is not affected, but logs are "
    "misleading. Let NTP set the clock of that host. On SQLite, if the clock was set by hand and is right: "
    "manage.py accept_clock."
)


def note_skew(*, name: str, host: str, seconds: float, now: dt.datetime | None = None) -> None:
    """Store by how many seconds a clock is ahead. Log the beginning and the end of an episode.

    Staff with a channel are notified when a host's first clock goes wrong.
    """
    with transaction.atomic():
        _note(name, host, seconds, now or database_now())


def clocks_that_are_off() -> list[ProcessClock]:
    """Return the clocks that are wrong now."""
    return list(ProcessClock.objects.exclude(over_since=None).order_by("name"))


def _note(name: str, host: str, seconds: float, now: dt.datetime) -> None:
    ProcessClock.objects.get_or_create(name=name, defaults={"host": host, "measured_at": now})
    rows = {row.name: row for row in ProcessClock.objects.select_for_update().filter(host=host).order_by("name")}
    row = rows[name]
    row.skew_seconds, row.measured_at = round(seconds, 3), now
    if row.over_since is None and abs(seconds) > OVER_SECONDS:
        if all(other.over_since is None for other in rows.values()):
            notify_staff(_IS_OFF, {"name": name, "seconds": f"{seconds:+.1f}"}, now=now)
        row.over_since = now
        logger.error("clock is off", extra={"action": "clock.off", "clock": name, "seconds": row.skew_seconds})
    elif row.over_since is not None and abs(seconds) < _RIGHT_SECONDS:
        row.over_since = None
        logger.warning("clock is right", extra={"action": "clock.right", "clock": name, "seconds": row.skew_seconds})
    row.save(update_fields=["skew_seconds", "measured_at", "over_since"])
    ProcessClock.objects.filter(measured_at__lt=now - _FORGOTTEN_AFTER).delete()
