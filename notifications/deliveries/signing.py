"""The secret that an owner's callbacks are signed with (Standard Webhooks), and its rotation."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.errors import AppError
from kernel.sealing import seal, unseal
from notifications.drivers.webhook import new_secret
from notifications.models import SigningSecret

BOTH_FOR = dt.timedelta(hours=24)
"""How long after a rotation the old secret signs too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A request of an owner for a new secret."""

    owner_id: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The secret as receivers need it. Until `old_until` the one before it signs too; None means there is none."""

    secret: str
    old_until: dt.datetime | None


def secrets_of(owner_id: str) -> Secrets:
    """Return the owner's secret, made on the first call."""
    row = _row(owner_id, database_now())
    return Secrets(secret=unseal(row.sealed), old_until=row.old_until)


def signing_keys(owner_id: str) -> list[str]:
    """Return the keys to sign with now: one, or two after a rotation."""
    now = database_now()
    row = _row(owner_id, now)
    both = row.old_until is not None and row.old_until > now
    return [unseal(row.sealed), *([unseal(row.old_sealed)] if both else [])]


def rotate_secrets(rotations: Sequence[Rotation], *, now: dt.datetime | None = None) -> list[Secrets | AppError]:
    """Make each owner a new secret; the old one signs beside it for 24 hours."""
    with transaction.atomic():
        now = now or database_now()
        outcomes: list[Secrets | AppError] = []
        for rotation in rotations:
            _row(rotation.owner_id, now)
            row = SigningSecret.objects.select_for_update().get(pk=rotation.owner_id)
            fresh = new_secret()
            row.old_sealed, row.sealed = row.sealed, seal(fresh)
            row.old_until, row.changed_at = now + BOTH_FOR, now
            row.save()
            record_audit(
                actor=rotation.actor, action="callbacks.rotate_secret", subject=f"user:{rotation.owner_id}", now=now
            )
            outcomes.append(Secrets(secret=fresh, old_until=row.old_until))
    return outcomes


def _row(owner_id: str, now: dt.datetime) -> SigningSecret:
    values = {"sealed": seal(new_secret()), "changed_at": now}
    row, _made = SigningSecret.objects.get_or_create(pk=owner_id, defaults=values)
    return row
