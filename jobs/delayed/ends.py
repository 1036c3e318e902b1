"""Ends of delayed jobs: fired, canceled, lost with their agent or owner; and keys that are freed afterwards."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from django.db import connection

from jobs.delayed.notices import tell_of_lost
from jobs.models import DelayedJob, DelayedState
from kernel.clock import database_now

# Reasons for a cancel that the owner did not ask for. The values are words of the wire.
AGENT_REMOVED, QUEUE_REMOVED, OWNER_FROZEN, REPLACED = "agent removed", "queue removed", "owner frozen", "replaced"

_CANCEL_BATCH = 500


def end_rows(rows: Sequence[DelayedJob], state: DelayedState, *, now: dt.datetime, reason: str = "") -> None:
    """Mark scheduled rows, which the caller has locked, as fired or canceled: their keys are free again."""
    moment = "fired_at" if state == DelayedState.FIRED else "canceled_at"
    values = {"state": state, moment: now, "updated_at": now, "key_slot": None, "reason": reason}
    DelayedJob.objects.filter(pk__in=[row.pk for row in rows]).update(**values)
    for row in rows:
        for name, value in values.items():
            setattr(row, name, value)


def forget_old_delayed_keys(*, limit: int = 500, now: dt.datetime | None = None) -> int:
    """Free at most `limit` idempotency keys of rows that ended seven days ago; return how many."""
    now = now or database_now()
    over = DelayedJob.objects.exclude(state=DelayedState.SCHEDULED).exclude(idempotency_digest=None)
    ids = list(over.filter(updated_at__lt=now - dt.timedelta(days=7)).values_list("pk", flat=True)[:limit])
    return DelayedJob.objects.filter(pk__in=ids).update(idempotency_digest=None)


def cancel_delayed_of_agent(agent_id: str, actor: str, now: dt.datetime) -> None:
    """Cancel the rows of an agent that was deleted or disabled, in the caller's transaction, and tell the owner."""
    tell_of_lost(_cancel_all({"agent_id": agent_id}, AGENT_REMOVED, now), now=now)


def cancel_delayed_of_user(user_id: str, now: dt.datetime) -> None:
    """Cancel what is scheduled for a frozen user, in the caller's transaction."""
    _cancel_all({"owner_id": user_id}, OWNER_FROZEN, now)


def _cancel_all(which: Mapping[str, str], reason: str, now: dt.datetime) -> list[tuple[str, str | None]]:
    """Cancel batch after batch; return owner and agent of each.

    Skip rows that another transaction has locked; the release checks them again. Waiting for them would be a deadlock:
    a release that holds them inserts jobs and waits for the row of the agent or the user, which the caller holds.
    """
    skip = connection.features.has_select_for_update_skip_locked
    scheduled = DelayedJob.objects.filter(state=DelayedState.SCHEDULED, **which).order_by("pk")
    canceled: list[tuple[str, str | None]] = []
    while rows := list(scheduled.select_for_update(skip_locked=skip)[:_CANCEL_BATCH]):
        end_rows(rows, DelayedState.CANCELED, now=now, reason=reason)
        canceled += [(row.owner_id, row.agent_id) for row in rows]
    return canceled
