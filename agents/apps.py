"""Django's entry to the app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AgentsConfig(AppConfig):
    """The app."""

    name = "agents"
    verbose_name = _("agents")

    def ready(self) -> None:
        """Register who resolves agent tokens."""
        from accounts.credentials import register_kind
        from accounts.tokens import TokenKind
        from agents.identity import principal_of_digest

        register_kind(TokenKind.AGENT, principal_of_digest)
