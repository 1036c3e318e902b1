"""The audit trail: numbered without gaps, and chained: the digest of an entry covers the digest before it.

Digests are keyed (HMAC) with a key derived from the secret key, so that write access to the database alone cannot make
a chain that verifies. Entries from before the key have plain digests; after the first keyed one none is accepted.
`audit_head.py` keeps the newest digest outside of the database, against a trail that is cut off or written again.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
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
    """Return the HMAC-SHA-256 over all fields of the entry and the digest before it."""
    return hmac.new(_key(settings.SECRET_KEY), _text(entry), hashlib.sha256).hexdigest()


def plain_digest(entry: AuditEntry) -> str:
    """Return the digest without a key that entries had at first."""
    return hashlib.sha256(_text(entry)).hexdigest()


def _text(entry: AuditEntry) -> bytes:
    said = [
        entry.sequence,
        rfc3339(entry.at),
        entry.actor,
        entry.action,
        entry.subject,
        entry.details,
        entry.previous_digest,
    ]
    return json.dumps(said, sort_keys=True, ensure_ascii=False).encode()


@functools.lru_cache(maxsize=4)
def _key(secret_key: str) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"letserver audit").derive(secret_key.encode())


def first_broken_entry() -> int | None:
    """Verify the full chain; return the number of the first entry that does not fit, or None.

    A changed secret key breaks the chain at the first keyed entry.
    """
    previous = _FIRST
    expected = 1
    keyed = False
    for entry in AuditEntry.objects.order_by("sequence").iterator():
        if entry.sequence != expected or entry.previous_digest != previous:
            return expected
        if hmac.compare_digest(entry.digest, entry_digest(entry)):
            keyed = True
        elif keyed or not hmac.compare_digest(entry.digest, plain_digest(entry)):
            return expected
        previous = entry.digest
        expected += 1
    return None
