"""The limits of one person, in one place: what each person may have at a time."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from accounts.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many of each thing a person may have. None: any number."""

    agents: int | None = None
    schedules: int | None = None
    tokens: int | None = None
    queues: int | None = None
    waiting_jobs: int | None = None
    delayed_jobs: int | None = None
    kept_jobs: int | None = None


def plan_of(user: User) -> Plan:
    """Return the limits of that person. Staff have none."""
    if user.is_staff:
        return Plan()
    return Plan(
        agents=settings.AGENTS_PER_USER + user.bonus_agents if settings.AGENTS_PER_USER else None,
        schedules=settings.SCHEDULES_PER_USER or None,
        tokens=settings.TOKENS_PER_USER or None,
        queues=settings.QUEUES_PER_USER or None,
        waiting_jobs=settings.WAITING_JOBS_PER_USER or None,
        delayed_jobs=settings.DELAYED_JOBS_PER_USER or None,
        kept_jobs=settings.JOBS_KEPT_PER_USER or None,
    )
