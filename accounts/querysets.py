"""Typed, chainable filters. None of them writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from django.db import models

if TYPE_CHECKING:
    from accounts.models import ChatIdentity, UserToken  # noqa: F401  used in the type arguments below


class Viewer(Protocol):
    """A user, or the principal of a token: it names the owner whose objects may be seen."""

    @property
    def owner_id(self) -> str:
        """The id of the user whose objects may be seen."""


class UserTokenQuerySet(models.QuerySet["UserToken"]):
    """Filters of user tokens."""

    def live(self) -> UserTokenQuerySet:
        """Keep tokens that are not revoked and whose user is not frozen."""
        return self.filter(revoked_at=None, user__is_active=True)

    def visible_to(self, viewer: Viewer) -> UserTokenQuerySet:
        """Keep the viewer's tokens."""
        return self.filter(user_id=viewer.owner_id)


class ChatIdentityQuerySet(models.QuerySet["ChatIdentity"]):
    """Filters of chat identities."""

    def active(self) -> ChatIdentityQuerySet:
        """Keep identities that can be reached."""
        return self.filter(active=True)

    def visible_to(self, viewer: Viewer) -> ChatIdentityQuerySet:
        """Keep the viewer's identities."""
        return self.filter(owner_id=viewer.owner_id)
