"""Append to the audit trail: numbered without gaps, each entry sealed with the digest of the one before."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping

from django.db import transaction

from accounts.models import AuditEntry
from kernel.clock import rfc3339
from kernel.strictjson import JsonValue

_FIRST = "0" * 64


def record_audit(
    *, actor: str, action: str, subject: str, now: dt.datetime, details: Mapping[str, JsonValue] | None = None
) -> None:
    """Append one entry in the caller's transaction. Never give it a token, a password or a message's text.

    The first row is the lock of the whole trail, so entries stand in the order of their transactions. Not the last: a
    transaction that waited for it would come back with the row that was the last before. Two that meet on an empty
    trail meet on the primary key instead, and one of the transactions fails whole.
    """
    with transaction.atomic():
        AuditEntry.objects.select_for_update().filter(sequence=1).first()
        last = AuditEntry.objects.order_by("-sequence").first()
        entry = AuditEntry(
            sequence=last.sequence + 1 if last else 1,
            at=now,
            actor=actor,
            action=action,
            subject=subject,
            details=dict(details or {}),
            previous_digest=last.digest if last else _FIRST,
        )
        entry.digest = entry_digest(entry)
        entry.save(force_insert=True)


def entry_digest(entry: AuditEntry) -> str:
    """Return the SHA-256 over everything the entry says and the digest before it."""
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
    """Walk the whole chain; return the number of the first entry that does not fit, or None."""
    previous = _FIRST
    expected = 1
    for entry in AuditEntry.objects.order_by("sequence").iterator():
        if entry.sequence != expected or entry.previous_digest != previous or entry.digest != entry_digest(entry):
            return expected
        previous = entry.digest
        expected += 1
    return None
