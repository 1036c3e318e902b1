"""Typed, chainable questions about jobs. None of them writes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.db import models

from jobs.states import ACTIVE, TERMINAL, JobStatus

if TYPE_CHECKING:
    from accounts.querysets import Viewer
    from jobs.models import Job, Schedule  # noqa: F401  used in the type arguments below


class JobQuerySet(models.QuerySet["Job"]):
    """Questions about jobs."""

    def visible_to(self, viewer: Viewer) -> JobQuerySet:
        """The user's own."""
        return self.filter(owner_id=viewer.owner_id)

    def waiting(self) -> JobQuerySet:
        """Waiting jobs: no agent has claimed them."""
        return self.filter(status=JobStatus.QUEUING)

    def impatient(self) -> JobQuerySet:
        """Jobs that expire when their agent is offline.

        Jobs of an occurrence, a queue, a retry or another job wait for their agent, and so do jobs with a time limit.
        """
        return self.filter(expires_at=None, parent_id=None, queue=None, attempt=1)

    def active(self) -> JobQuerySet:
        """With an agent: sent or running."""
        return self.filter(status__in=ACTIVE)

    def terminal(self) -> JobQuerySet:
        """At their end."""
        return self.filter(status__in=TERMINAL)

    def claimable(self, now: dt.datetime) -> JobQuerySet:
        """Queuing and due, in the order in which they start."""
        return self.waiting().filter(active_at__lte=now).order_by("active_at", "id")

    def in_line(self, now: dt.datetime) -> JobQuerySet:
        """Queuing and due, in the order in which a queue starts them."""
        return self.waiting().filter(active_at__lte=now).order_by("-priority", "active_at", "id")

    def dead(self) -> JobQuerySet:
        """Failed for good, and neither replayed nor removed since."""
        return self.filter(parked_at__isnull=False)

    def lease_over(self, now: dt.datetime) -> JobQuerySet:
        """With an agent whose lease has ended."""
        return self.active().filter(lease_until__lt=now)

    def wait_over(self, now: dt.datetime) -> JobQuerySet:
        """Queuing past the time that their owner gave them."""
        return self.waiting().filter(expires_at__lt=now)


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    """Questions about schedules."""

    def visible_to(self, viewer: Viewer) -> ScheduleQuerySet:
        """The user's own."""
        return self.filter(owner_id=viewer.owner_id)

    def due(self, now: dt.datetime) -> ScheduleQuerySet:
        """Switched on, with a moment to look at; the longest overdue first."""
        return self.filter(enabled=True, next_at__lte=now).order_by("next_at", "id")
