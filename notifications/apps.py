"""Django's entry to the app: what its bell does."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    """The app."""

    name = "notifications"
    verbose_name = _("notifications")

    def ready(self) -> None:
        """Register who is told of a delivery that is due."""
        from kernel import bells
        from notifications.tasks import ring_workers

        bells.register("delivery", ring_workers)
