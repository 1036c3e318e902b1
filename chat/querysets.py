"""Typed, chainable filters. None of them writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from accounts.querysets import Viewer

if TYPE_CHECKING:
    from chat.models import ChatLine  # noqa: F401  used in the type argument below


class ChatLineQuerySet(models.QuerySet["ChatLine"]):
    """Filters of the lines of the console's chat."""

    def visible_to(self, viewer: Viewer) -> ChatLineQuerySet:
        """Keep the viewer's lines."""
        return self.filter(owner_id=viewer.owner_id)
