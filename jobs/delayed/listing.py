"""A user's delayed jobs: one, or page by page, newest first."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from accounts.querysets import Viewer
from jobs.models import DelayedJob, DelayedState
from kernel.errors import NotFound
from kernel.ids import is_id
from kernel.keyset import Slice, slice_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedFilter:
    """A filter of delayed jobs. None or empty selects all of them."""

    state: DelayedState | None = None
    agent_id: str | None = None
    queue: str | None = None
    key: str | None = None
    due_after: dt.datetime | None = None
    due_before: dt.datetime | None = None


def read_delayed(*, viewer: Viewer, delayed_id: str) -> DelayedJob:
    """Return one, agent and queue loaded; raise NotFound. One query."""
    mine = DelayedJob.objects.filter(owner_id=viewer.owner_id)
    rows = mine.filter(pk=delayed_id) if is_id(delayed_id) else mine.none()
    row = rows.select_related("agent", "queue").first()
    if row is None:
        raise NotFound
    return row


def list_delayed(*, viewer: Viewer, wanted: DelayedFilter, older_than: str = "", size: int) -> Slice[DelayedJob]:
    """Return up to `size` of them, the newest first, agents and queues loaded. One query."""
    rows = DelayedJob.objects.filter(owner_id=viewer.owner_id).select_related("agent", "queue")
    if wanted.state is not None:
        rows = rows.filter(state=wanted.state)
    if wanted.agent_id is not None:
        rows = rows.filter(agent_id=wanted.agent_id)
    if wanted.queue is not None:
        rows = rows.filter(queue__name=wanted.queue)
    if wanted.key is not None:
        rows = rows.filter(key=wanted.key)
    if wanted.due_after is not None:
        rows = rows.filter(due_at__gt=wanted.due_after)
    if wanted.due_before is not None:
        rows = rows.filter(due_at__lt=wanted.due_before)
    return slice_of(rows, before=older_than, size=size)
