"""The task that beat runs for accounts."""

from __future__ import annotations

from celery import shared_task

from accounts.services.attempts import forget_old_attempts


@shared_task(name="accounts.sweep_attempts")
def sweep_attempts() -> None:
    """Delete old records of logins."""
    while forget_old_attempts():
        continue
