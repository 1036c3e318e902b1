"""Whose user token is it."""

from __future__ import annotations

from accounts.models import UserToken


def token_of_digest(digest: str) -> UserToken | None:
    """Return the live user token with this digest, with its user, or None."""
    return UserToken.objects.live().select_related("user").filter(digest=digest).first()
