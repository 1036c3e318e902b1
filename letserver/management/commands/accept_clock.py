"""`manage.py accept_clock`: believe the clock of this host, which was set while the server ran on SQLite."""

from __future__ import annotations

from django.core.management.base import BaseCommand
from django.db import connection, transaction
from django.utils.translation import gettext as _

from accounts.credentials import SYSTEM_ACTOR
from accounts.services.audit import record_audit
from kernel.clock import database_now, host_clock
from kernel.commands import one_sentence_errors


class Command(BaseCommand):
    """Move the database's time to the host's."""

    help = "Believe the clock of this host after it was set. Needed on SQLite only, without NTP, for an hour."

    def handle(self, **options: object) -> None:
        """Print by how many seconds the time moves."""
        if connection.vendor != "sqlite":
            self.stdout.write(_("The database server's clock decides; there is nothing to accept here."))
            return
        seconds = round(host_clock().accept(), 1)
        with one_sentence_errors(), transaction.atomic():
            record_audit(
                actor=SYSTEM_ACTOR,
                action="clock.accept",
                subject="clock",
                now=database_now(),
                details={"seconds": str(seconds)},
            )
        self.stdout.write(_("The time moves by %(seconds)s seconds.") % {"seconds": seconds})
