"""The wiring as an app of its own, and the admin site."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class LetServerConfig(AppConfig):
    """Holds the commands and the start-up checks."""

    name = "letserver"
    verbose_name = "LetServer"

    def ready(self) -> None:
        """Register the start-up checks and the session values of connections; arm the failpoint of a test."""
        from kernel import failpoints
        from letserver import celery, checks, databases, environment

        # A task is enqueued through the current Celery app. Without this import that is a default app without a broker.
        celery.app.set_default()

        checks.register_checks()
        databases.set_session_values_at_connection()
        failpoints.arm(environment.armed_failpoint())


class StaffAdminConfig(AdminConfig):
    """The Django admin on our own site object."""

    default_site = "letserver.staff.StaffSite"
