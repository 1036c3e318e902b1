"""The records of logins that django-axes keeps. Untrusted clients can add to them, so they are deleted soon."""

from __future__ import annotations

import datetime as dt

from axes.models import AccessAttempt, AccessLog
from django.db import models

from kernel.clock import database_now

_ATTEMPTS_KEPT = dt.timedelta(days=1)
"""Longer than a lock-out (AXES_COOLOFF_TIME) lasts."""

_LOGINS_KEPT = dt.timedelta(days=90)


def forget_old_attempts(*, limit: int = 1000, now: dt.datetime | None = None) -> int:
    """Delete at most `limit` failed attempts of more than a day ago and logins of 90 days ago; return how many."""
    now = now or database_now()
    return _forget(AccessAttempt, now - _ATTEMPTS_KEPT, limit) + _forget(AccessLog, now - _LOGINS_KEPT, limit)


def _forget(table: type[models.Model], before: dt.datetime, limit: int) -> int:
    rows = table._default_manager.filter(attempt_time__lt=before)
    return table._default_manager.filter(pk__in=list(rows.values_list("pk", flat=True)[:limit])).delete()[0]
