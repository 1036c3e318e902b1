"""The audit trail: numbered without gaps, and hash-chained: the digest of an entry covers the digest before it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping

from django.db import connection, transaction

from accounts.models import AuditEntry
from kernel.clock import rfc3339
from kernel.strictjson import JsonValue

_FIRST = "0" * 64


def record_audit(
    *, actor: str, action: str, subject: str, now: dt.datetime, details: Mapping[str, JsonValue] | None = None
) -> None:
    """Append one entry in the caller's transaction. Never pass a token, a password or a message's text.

    It locks the first row of the trail, so entries have the order of their transactions. Locking the last row would not
    do: a transaction that waited for it would then read a row that is no longer the last. To avoid deadlocks this is
    the last lock that a transaction takes, after those of users, agents and jobs.
    """
    entry = AuditEntry(actor=actor, action=action, subject=subject, at=now, details=dict(details or {}))
    with transaction.atomic():
        if AuditEntry.objects.select_for_update().filter(sequence=1).first() or not _begin(entry):
            last = AuditEntry.objects.latest("sequence")
            _seal(entry, number=last.sequence + 1, previous_digest=last.digest)
            entry.save(force_insert=True)


def _begin(entry: AuditEntry) -> bool:
    """Insert this as the first entry of the trail; return False if another transaction was faster.

    In that case the other's row is locked afterwards. A plain INSERT that meets that row takes a shared lock, and
    three such transactions deadlock. The upsert takes an exclusive lock; the column that it overwrites has the same
    value in every first entry.
    """
    _seal(entry, number=1, previous_digest=_FIRST)
    targets = ["sequence"] if connection.features.supports_update_conflicts_with_target else None
    AuditEntry.objects.bulk_create(
        [entry], update_conflicts=True, unique_fields=targets, update_fields=["previous_digest"]
    )
    return AuditEntry.objects.get(sequence=1).digest == entry.digest


def _seal(entry: AuditEntry, *, number: int, previous_digest: str) -> None:
    entry.sequence, entry.previous_digest = number, previous_digest
    entry.digest = entry_digest(entry)


def entry_digest(entry: AuditEntry) -> str:
    """Return the SHA-256 over all fields of the entry and the digest before it."""
    said = [
        entry.sequence,
        rfc3339(entry.at),
        entry.actor,
        entry.action,
        entry.subject,
        entry.details,
        entry.previous_digest,
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def first_broken_entry() -> int | None:
    """Verify the full chain; return the number of the first entry that does not fit, or None."""
    previous = _FIRST
    expected = 1
    for entry in AuditEntry.objects.order_by("sequence").iterator():
        if entry.sequence != expected or entry.previous_digest != previous or entry.digest != entry_digest(entry):
            return expected
        previous = entry.digest
        expected += 1
    return None
