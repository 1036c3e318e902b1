"""Idempotency keys: the form in which they are compared and stored (`kernel.http.idempotency` reads the header)."""

from __future__ import annotations

import hashlib


def callers_key(actor: str, key: str | None) -> str | None:
    """Return the key with its caller in front, so that equal keys of two agents of one owner do not meet."""
    return None if key is None else f"{actor}:{key}"


def digest_of_key(key: str | None) -> str | None:
    """Return the key as it is stored: hashed, because a collation might ignore case and an index limits the length."""
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()
