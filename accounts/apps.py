"""Django's entry to the app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """The app."""

    name = "accounts"
    verbose_name = _("accounts")

    def ready(self) -> None:
        """Connect the receivers that write logins into the audit trail."""
        from accounts.sessions import connect_receivers

        connect_receivers()
