"""The header `Idempotency-Key`: a repeated request returns the first result and creates nothing."""

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
    """Return the key with its caller in front, so that equal keys of two agents of one owner do not meet."""
    return None if key is None else f"{actor}:{key}"


def digest_of_key(key: str | None) -> str | None:
    """Return the key as it is stored: hashed, because a collation might ignore case and an index limits the length."""
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()
