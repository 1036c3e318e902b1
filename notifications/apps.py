"""The app's configuration: its bell, and the senders of callbacks and events."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    """The app."""

    name = "notifications"
    verbose_name = _("notifications")

    def ready(self) -> None:
        """Register the bell of due deliveries, and the senders of callbacks and events."""
        from kernel import bells
        from notifications.deliveries.callbacks import send_callback
        from notifications.deliveries.events import send_event
        from notifications.deliveries.sending import register_sender
        from notifications.models import DeliveryKind
        from notifications.tasks import ring_workers

        bells.register("delivery", ring_workers)
        register_sender(DeliveryKind.CALLBACK, send_callback)
        register_sender(DeliveryKind.EVENT, send_event)
