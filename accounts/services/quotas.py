"""The ledger of numbers that may not be passed: how much of a kind an owner used in one window.

What is counted, and where a window begins, is the caller's matter. Every count is one conditional UPDATE, so that no
number of callers at once passes a limit.
"""

from __future__ import annotations

import datetime as dt

from django.db.models import F

from accounts.models import QuotaUse
from kernel.rows import ensure_row


def reserve_quota(*, owner_id: str, kind: str, window_start: dt.datetime, limit: int) -> QuotaUse | None:
    """Count one more, in the caller's transaction, and return the row as it is now; None when there is no room."""
    window = {"owner_id": owner_id, "kind": kind, "window_start": window_start}
    ensure_row(QuotaUse(owner_id=owner_id, kind=kind, window_start=window_start, limit=limit), *window)
    row = QuotaUse.objects.get(**window)
    if row.limit != limit:
        # The setting has changed. What is used up stays used.
        QuotaUse.objects.filter(pk=row.pk, used__lte=limit).update(limit=limit)
    if not QuotaUse.objects.filter(pk=row.pk, used__lt=F("limit")).update(used=F("used") + 1):
        return None
    row.refresh_from_db()
    return row


def is_quota_of(quota_use_id: str, *, window_start: dt.datetime) -> bool:
    """Tell whether what was counted there was counted for the window that began then."""
    return QuotaUse.objects.filter(pk=quota_use_id, window_start=window_start).exists()


def release_quota(quota_use_id: str) -> None:
    """Give one back that was counted and certainly not used."""
    QuotaUse.objects.filter(pk=quota_use_id, used__gt=0).update(used=F("used") - 1)


def quota_used(*, owner_id: str, kind: str, window_start: dt.datetime) -> int:
    """Return how much is used in a window."""
    row = QuotaUse.objects.filter(owner_id=owner_id, kind=kind, window_start=window_start).first()
    return row.used if row else 0
