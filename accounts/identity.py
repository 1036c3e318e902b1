"""Queries about user tokens for `accounts.credentials` and the gateway's token cache."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from accounts.models import User, UserToken


def token_of_digest(digest: str) -> UserToken | None:
    """Return the live user token with this digest, with its user, or None."""
    return UserToken.objects.live().select_related("user").filter(digest=digest).first()


def user_tokens_changed_since(start: dt.datetime) -> Iterable[str]:
    """Return the digests of user tokens minted or revoked since `start`."""
    return UserToken.objects.filter(changed_at__gte=start).values_list("digest", flat=True)


def users_changed_since(start: dt.datetime) -> Iterable[str]:
    """Return the ids of users frozen or thawed since `start`."""
    return User.objects.filter(changed_at__gte=start).values_list("pk", flat=True)
