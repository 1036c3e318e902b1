"""Django's entry to the app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AgentsConfig(AppConfig):
    """The app."""

    name = "agents"
    verbose_name = _("agents")

    def ready(self) -> None:
        """Register the resolver of agent tokens and the quota of agents."""
        from accounts import quotas
        from accounts.credentials import register_kind
        from accounts.tokens import TokenKind
        from agents.identity import principal_of_digest
        from agents.services.quota import agent_usage

        register_kind(TokenKind.AGENT, principal_of_digest)
        quotas.register("agents", agent_usage)
