"""manage.py verify_audit: checks the whole audit trail, and the digest that is kept in the data folder."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import AuditEntry
from accounts.services.audit import first_broken_entry
from accounts.services.audit_head import head_fits, kept_head


class Command(BaseCommand):
    """Reads every entry; changes nothing."""

    help = "Check the chain of the audit trail and the digest that is kept outside of the database."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the number of entries, or fail with the number of the first that does not fit."""
        broken = first_broken_entry()
        if broken is not None:
            raise CommandError(
                f"The audit trail is broken at entry {broken}: it was changed, or the secret key is another one."
            )
        if not head_fits():
            kept = kept_head()
            raise CommandError(
                f"The audit trail no longer has entry {kept and kept[0]} as it was kept: it was cut off or replaced."
            )
        self.stdout.write(f"{AuditEntry.objects.count()} entries, all as they were written.")
