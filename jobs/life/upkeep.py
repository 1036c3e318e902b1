"""Repairs that lose nothing by coming late: lost bells, old idempotency keys, the gateway's clock."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db import models

from jobs.models import GatewayClock, Job
from jobs.queues.dispatch import ring_lost_queues
from jobs.states import ACTIVE, JobStatus
from kernel.bells import ring
from kernel.clock import database_now
from kernel.failpoints import reach
from kernel.transactions import named_transaction
from notifications.deliveries.upkeep import bring_forward

_BELL_IS_LOST_AFTER = dt.timedelta(seconds=2)
_KEY_LIFE = dt.timedelta(days=7)


def ring_lost_bells(*, now: dt.datetime | None = None) -> int:
    """Ring every online agent that has had a due job waiting for two seconds, and for every queue that could start
    one; return how many."""
    now = now or database_now()
    due = Job.objects.waiting().filter(active_at__lte=now - _BELL_IS_LOST_AFTER, agent__online=True, queue=None)
    ids = list(due.order_by().values_list("agent_id", flat=True).distinct())
    reach("lost_bells.before_ring")
    for agent_id in ids:
        ring("agent", str(agent_id))
    queues = ring_lost_queues(due_before=now - _BELL_IS_LOST_AFTER, now=now)
    reach("lost_bells.after_ring")
    return len(ids) + queues


def forget_old_keys(*, limit: int = 500, now: dt.datetime | None = None) -> int:
    """Free at most `limit` idempotency keys of jobs that ended and are seven days old; return how many."""
    with named_transaction("keys"):
        now = now or database_now()
        old = Job.objects.terminal().filter(created_at__lt=now - _KEY_LIFE).exclude(idempotency_digest=None)
        ids = list(old.values_list("pk", flat=True)[:limit])
        return Job.objects.filter(pk__in=ids).update(idempotency_digest=None)


def is_shift_pending(now: dt.datetime) -> bool:
    """Tell whether no gateway has been alive lately: deadlines stand still until one is back and has shifted them."""
    clock = GatewayClock.objects.first()
    return clock is None or now - clock.beat_at > _outage()


def beat_gateway_clock(*, now: dt.datetime | None = None) -> None:
    """Note that a gateway is alive. During a gap of OUTAGE_SECONDS or more no agent could report, so deadlines move by
    its length.

    A database's clock that was set forward looks like such a gap; one that was set back by so much moves deadlines
    back. The row is locked: of several processes that wake together, one sees the gap and shifts, once.
    """
    with named_transaction("clock"):
        now = now or database_now()
        clock = GatewayClock.objects.select_for_update().first()
        if clock is None:
            GatewayClock.objects.get_or_create(pk=1, defaults={"alive_since": now, "beat_at": now})
            return
        gap = now - clock.beat_at
        if abs(gap) > _outage():
            clock.alive_since = clock.beat_at = now
            Job.objects.filter(status__in=ACTIVE).update(lease_until=models.F("lease_until") + gap)
            waiting = Job.objects.filter(status=JobStatus.QUEUING)
            waiting.exclude(expires_at=None).update(expires_at=models.F("expires_at") + gap)
            if gap < dt.timedelta(0):
                # Made under the clock that ran ahead, they would wait until it is so late again.
                waiting.filter(created_at__gt=now).update(active_at=models.F("active_at") + gap)
                bring_forward(since=now, gap=gap)
        clock.beat_at = max(now, clock.beat_at)
        clock.save(update_fields=["alive_since", "beat_at"])


def _outage() -> dt.timedelta:
    return dt.timedelta(seconds=settings.OUTAGE_SECONDS)
