"""The header `Idempotency-Key`: a repeated request returns the first result and creates nothing."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest

IDEMPOTENCY_KEY_LENGTH = 255


def read_idempotency_key(header: str | None) -> str | None:
    """Read the header: None without it, else 1 to 255 characters."""
    if header is not None and not 0 < len(header.strip()) <= IDEMPOTENCY_KEY_LENGTH:
        raise InvalidRequest(_("An Idempotency-Key has 1 to 255 characters."))
    return header
