"""The header `Idempotency-Key`: the same request again makes nothing new."""

from __future__ import annotations

import hashlib

from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest

IDEMPOTENCY_KEY_LENGTH = 255


def read_idempotency_key(header: str | None) -> str | None:
    """Read the header: None without it, else 1 to 255 characters."""
    if header is not None and not 0 < len(header.strip()) <= IDEMPOTENCY_KEY_LENGTH:
        raise InvalidRequest(_("An Idempotency-Key has 1 to 255 characters."))
    return header


def callers_key(actor: str, key: str | None) -> str | None:
    """Return a key as one of its caller: what two agents of one person, or this server itself, call alike differs."""
    return None if key is None else f"{actor}:{key}"


def digest_of_key(key: str | None) -> str | None:
    """Return a key as it is kept: hashed, so that its case and length do not matter to the database."""
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()
