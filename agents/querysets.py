"""Typed, chainable filters of agents. None of them writes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from accounts.querysets import Viewer
    from agents.models import Agent  # noqa: F401  used in the type argument below


class AgentQuerySet(models.QuerySet["Agent"]):
    """Filters of agents."""

    def present(self) -> AgentQuerySet:
        """Keep agents that are not deleted."""
        return self.filter(deleted_at=None)

    def usable(self) -> AgentQuerySet:
        """Keep agents that are neither deleted nor disabled (`agents.services.find.is_usable`)."""
        return self.present().filter(enabled=True)

    def visible_to(self, viewer: Viewer) -> AgentQuerySet:
        """Keep the viewer's agents that are not deleted."""
        return self.present().filter(owner_id=viewer.owner_id)

    def silent_since(self, start: dt.datetime) -> AgentQuerySet:
        """Keep agents that are marked online but were not seen since `start`."""
        return self.filter(online=True, last_seen_at__lt=start)
