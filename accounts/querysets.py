"""Typed, chainable questions. None of them writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from django.db import models

if TYPE_CHECKING:
    from accounts.models import ChatIdentity, UserToken  # noqa: F401  used in the type arguments below


class Viewer(Protocol):
    """A user, or the principal of a token: whatever says whose things are meant."""

    @property
    def owner_id(self) -> str:
        """The id of the user whose things may be seen."""


class UserTokenQuerySet(models.QuerySet["UserToken"]):
    """Questions about user tokens."""

    def live(self) -> UserTokenQuerySet:
        """Not revoked, and the user is not frozen."""
        return self.filter(revoked_at=None, user__is_active=True)

    def visible_to(self, viewer: Viewer) -> UserTokenQuerySet:
        """The user's own."""
        return self.filter(user_id=viewer.owner_id)


class ChatIdentityQuerySet(models.QuerySet["ChatIdentity"]):
    """Questions about chat identities."""

    def active(self) -> ChatIdentityQuerySet:
        """Can be reached."""
        return self.filter(active=True)

    def visible_to(self, viewer: Viewer) -> ChatIdentityQuerySet:
        """The user's own."""
        return self.filter(owner_id=viewer.owner_id)
