"""The quota ledger: the use of one kind by one owner in one window.

The caller decides what it counts and where a window begins. Every reservation is one conditional UPDATE, so concurrent
callers never exceed the limit together.
"""

from __future__ import annotations

import datetime as dt

from django.db.models import F

from accounts.models import QuotaUse
from kernel.rows import ensure_row


def reserve_quota(*, owner_id: str, kind: str, window_start: dt.datetime, limit: int) -> QuotaUse | None:
    """Reserve one in the caller's transaction and return the updated row; None if the limit is reached."""
    window = {"owner_id": owner_id, "kind": kind, "window_start": window_start}
    ensure_row(QuotaUse(owner_id=owner_id, kind=kind, window_start=window_start, limit=limit), *window)
    row = QuotaUse.objects.get(**window)
    if row.limit != limit:
        # The setting has changed. The used part stays.
        QuotaUse.objects.filter(pk=row.pk, used__lte=limit).update(limit=limit)
    if not QuotaUse.objects.filter(pk=row.pk, used__lt=F("limit")).update(used=F("used") + 1):
        return None
    row.refresh_from_db()
    return row


def is_quota_of(quota_use_id: str, *, window_start: dt.datetime) -> bool:
    """Tell whether that row counts the window that began at `window_start`."""
    return QuotaUse.objects.filter(pk=quota_use_id, window_start=window_start).exists()


def release_quota(quota_use_id: str) -> None:
    """Give one reservation back that was certainly not used."""
    QuotaUse.objects.filter(pk=quota_use_id, used__gt=0).update(used=F("used") - 1)


def quota_used(*, owner_id: str, kind: str, window_start: dt.datetime) -> int:
    """Return how much is used in a window."""
    row = QuotaUse.objects.filter(owner_id=owner_id, kind=kind, window_start=window_start).first()
    return row.used if row else 0
