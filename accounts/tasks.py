"""The tasks that beat runs for accounts."""

from __future__ import annotations

from celery import shared_task

from accounts.services.attempts import forget_old_attempts
from accounts.services.audit_head import keep_audit_head
from kernel.clock import database_now


@shared_task(name="accounts.sweep_attempts")
def sweep_attempts() -> None:
    """Delete old records of logins."""
    while forget_old_attempts():
        continue


@shared_task(name="accounts.keep_audit_head")
def keep_head() -> None:
    """Keep the newest digest of the audit trail outside of the database."""
    keep_audit_head(now=database_now())
