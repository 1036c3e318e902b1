"""Typed, chainable questions. None of them writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from accounts.models import User, UserToken  # noqa: F401  used in the type arguments below


class UserTokenQuerySet(models.QuerySet["UserToken"]):
    """Questions about user tokens."""

    def live(self) -> UserTokenQuerySet:
        """Not revoked, and the user is not frozen."""
        return self.filter(revoked_at=None, user__is_active=True)

    def visible_to(self, user: User) -> UserTokenQuerySet:
        """The user's own."""
        return self.filter(user=user)
