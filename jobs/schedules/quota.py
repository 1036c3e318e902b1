"""Limits of schedules: how many a user may have, and how often one may run."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.plan import plan_of
from accounts.quotas import Usage
from jobs.models import Schedule
from kernel.errors import ScheduleLimit


def schedule_usage(owner: User) -> Usage | None:
    """Return how many schedules a user has and may have; None if there is no limit, as for staff."""
    limit = plan_of(owner).schedules
    if limit is None:
        return None
    used = Schedule.objects.visible_to(owner).count()
    return Usage(name=_("Schedules"), used=used, limit=limit)


def shortest_gap_for(owner: User) -> dt.timedelta:
    """Return the shortest time between two runs that a user may choose."""
    return dt.timedelta(0) if owner.is_staff else dt.timedelta(seconds=settings.SHORTEST_SCHEDULE_SECONDS)


def require_room_for_a_schedule(owner: User) -> None:
    """Raise ScheduleLimit unless the owner may have one more schedule. The caller holds the lock on the owner's row."""
    usage = schedule_usage(owner)
    if usage is not None and usage.used >= usage.limit:
        raise ScheduleLimit(params={"used": usage.used, "limit": usage.limit})
