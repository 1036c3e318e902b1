"""Typed, chainable questions about agents. None of them writes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from accounts.querysets import Viewer
    from agents.models import Agent  # noqa: F401  used in the type argument below


class AgentQuerySet(models.QuerySet["Agent"]):
    """Questions about agents."""

    def present(self) -> AgentQuerySet:
        """Not deleted."""
        return self.filter(deleted_at=None)

    def usable(self) -> AgentQuerySet:
        """Neither deleted nor disabled: `agents.services.find.is_usable` as a filter."""
        return self.present().filter(enabled=True)

    def visible_to(self, viewer: Viewer) -> AgentQuerySet:
        """The user's own that are not deleted."""
        return self.present().filter(owner_id=viewer.owner_id)

    def silent_since(self, moment: dt.datetime) -> AgentQuerySet:
        """Marked online, but without a word since `moment`."""
        return self.filter(online=True, last_seen_at__lt=moment)
