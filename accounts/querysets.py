"""Typed, chainable questions. None of them writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django.db import models

if TYPE_CHECKING:
    from accounts.models import ChatIdentity, UserToken  # noqa: F401  used in the type arguments below


class Viewer(Protocol):
    """Whoever stands for a user: the user, or the principal of a token of theirs. `pk` is the user's id."""

    @property
    def pk(self) -> Any:
        """The user's id."""


class UserTokenQuerySet(models.QuerySet["UserToken"]):
    """Questions about user tokens."""

    def live(self) -> UserTokenQuerySet:
        """Not revoked, and the user is not frozen."""
        return self.filter(revoked_at=None, user__is_active=True)

    def visible_to(self, viewer: Viewer) -> UserTokenQuerySet:
        """The user's own."""
        return self.filter(user_id=viewer.pk)


class ChatIdentityQuerySet(models.QuerySet["ChatIdentity"]):
    """Questions about chat identities."""

    def active(self) -> ChatIdentityQuerySet:
        """Can be reached."""
        return self.filter(active=True)

    def visible_to(self, viewer: Viewer) -> ChatIdentityQuerySet:
        """The user's own."""
        return self.filter(owner_id=viewer.pk)
