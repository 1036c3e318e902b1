"""Jobs for a later moment: made, moved, taken back. `release.py` fires them, `delayed_list.py` finds them.

A row is changed only while it is scheduled, and under its lock: whoever comes second sees what the first has done.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from agents.services.find import find_agent
from jobs.delayed.ends import REPLACED, end_rows
from jobs.following import Backoff, Follower
from jobs.models import DelayedJob, DelayedState, Queue
from kernel.clock import database_now
from kernel.errors import (
    AppError,
    IdempotencyMismatch,
    InvalidAgent,
    InvalidDuration,
    KeyTaken,
    NotFound,
    NotScheduled,
    QueueNotFound,
)
from kernel.idempotency import digest_of_key
from kernel.ids import is_id, new_id, occurrence_id
from kernel.strictjson import JsonValue

SHORTEST_DELAY = dt.timedelta(seconds=1)
LONGEST_DELAY = dt.timedelta(days=400)
OCCURRENCE = "1"
"""A delayed job fires once; the id of its job follows from its own and this."""


class IfExists(Enum):
    """What becomes of a wish whose key a scheduled row has. The values are words of the wire."""

    REFUSE = "refuse"
    REPLACE = "replace"
    POSTPONE = "postpone"
    KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When: after `delay`, counted from the database's time, or at `run_at`. Exactly one of them is set."""

    delay: dt.timedelta | None = None
    run_at: dt.datetime | None = None

    def due_at(self, now: dt.datetime) -> dt.datetime:
        """Return the moment; raise InvalidDuration for one that is not 1 second to 400 days ahead."""
        due_at = self.run_at if self.run_at is not None else now + min(self.delay or dt.timedelta(0), 2 * LONGEST_DELAY)
        if not SHORTEST_DELAY <= due_at - now <= LONGEST_DELAY:
            raise InvalidDuration(_("A job can be delayed by 1 second to 400 days."))
        return due_at

    @property
    def written(self) -> list[object]:
        """What must be equal for two wishes to be the same."""
        return [self.delay.total_seconds() if self.delay else None, self.run_at.isoformat() if self.run_at else None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelayedJob:
    """A checked wish for a delayed job: for an `agent` (id, name or alias), a `queue` (name), or as a POST to `url`.

    `delayed_id` is made once, before the first try: the same wish tried again finds its own row.
    """

    owner_id: str
    actor: str
    message: str
    moment: Moment
    agent: str = ""
    queue: str = ""
    url: str = ""
    key: str = ""
    if_exists: IfExists = IfExists.REFUSE
    source: str = ""
    callback: str = ""
    task: str = ""
    params: Mapping[str, JsonValue] | None = None
    priority: int = 0
    distinct_key: str = ""
    rate_key: str = ""
    retries: int = 0
    backoff: Backoff | None = None
    idempotent: bool = False
    then: Sequence[Follower] | None = None
    idempotency_key: str | None = None
    delayed_id: str = field(default_factory=new_id)

    @property
    def idempotency_digest(self) -> str | None:
        """The key as it is kept."""
        return digest_of_key(self.idempotency_key)

    @property
    def request_digest(self) -> str:
        """What must be equal for two requests with one key to count as the same request."""
        said = [
            self.agent, self.queue, self.url, self.message, self.moment.written, self.key, self.if_exists.value,
            self.source, self.callback, self.task, self.params, self.priority, self.distinct_key, self.rate_key,
            self.retries, self.backoff, self.idempotent, self.then,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The row that answers a wish, and whether the wish made it."""

    row: DelayedJob
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedChange:
    """What an owner wants changed; None leaves a value as it is."""

    owner_id: str
    delayed_id: str
    moment: Moment | None = None
    message: str | None = None
    callback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedCancel:
    """An owner's wish that a delayed job should not come: by its id, or by its key."""

    owner_id: str
    delayed_id: str = ""
    key: str = ""


def slot_of_key(key: str) -> str | None:
    """Return what a scheduled row holds in `key_slot`: a digest, so that case and length do not matter to databases."""
    return hashlib.sha256(key.encode()).hexdigest() if key else None


def create_delayed(wishes: Sequence[NewDelayedJob], *, now: dt.datetime | None = None) -> list[Stored | AppError]:
    """Store each wish; a repeated one is answered with the row it made before.

    Per item: InvalidDuration for a moment out of range; AgentNotFound, InvalidAgent for one that is disabled,
    QueueNotFound; KeyTaken under a key that waits, unless `if_exists` says what then; IdempotencyMismatch.
    Raises IntegrityError when another transaction won a race for a key: the caller tries again and finds its row.
    """
    with transaction.atomic():
        now = now or database_now()
        outcomes: list[Stored | AppError] = []
        for wish in wishes:
            try:
                outcomes.append(_repeated(wish) or _stored(wish, now))
            except AppError as error:
                outcomes.append(error)
    return outcomes


def change_delayed(changes: Sequence[DelayedChange], *, now: dt.datetime | None = None) -> list[DelayedJob | AppError]:
    """Postpone or reword scheduled rows. Per item: NotFound, NotScheduled, InvalidDuration."""
    with transaction.atomic():
        now = now or database_now()
        outcomes: list[DelayedJob | AppError] = []
        for change in changes:
            try:
                outcomes.append(_changed(change, now))
            except AppError as error:
                outcomes.append(error)
    return outcomes


def cancel_delayed(wishes: Sequence[DelayedCancel], *, now: dt.datetime | None = None) -> list[DelayedJob | AppError]:
    """Take back scheduled rows. Per item: NotFound; NotScheduled for one that has fired. A second time is the same."""
    with transaction.atomic():
        now = now or database_now()
        outcomes: list[DelayedJob | AppError] = []
        for wish in wishes:
            row = _locked_by_key(wish.owner_id, wish.key) if wish.key else _locked(wish.owner_id, wish.delayed_id)
            if row is None:
                outcomes.append(NotFound())
            elif row.state == DelayedState.FIRED:
                outcomes.append(NotScheduled())
            else:
                if row.state == DelayedState.SCHEDULED:
                    end_rows([row], DelayedState.CANCELED, now=now)
                outcomes.append(row)
    return outcomes


def lock_delayed(owner_id: str, delayed_id: str) -> DelayedJob:
    """Lock one, wherever it stands; raise NotFound."""
    row = _locked(owner_id, delayed_id)
    if row is None:
        raise NotFound
    return row


def lock_scheduled(owner_id: str, delayed_id: str) -> DelayedJob:
    """Lock one that is still scheduled; raise NotFound or NotScheduled."""
    row = lock_delayed(owner_id, delayed_id)
    if row.state != DelayedState.SCHEDULED:
        raise NotScheduled
    return row


def _repeated(wish: NewDelayedJob) -> Stored | None:
    """Return the row that the same wish made before, if there is one; raise IdempotencyMismatch for another's."""
    row = DelayedJob.objects.filter(pk=wish.delayed_id).first()
    if row is None and wish.idempotency_digest is not None:
        row = DelayedJob.objects.filter(owner_id=wish.owner_id, idempotency_digest=wish.idempotency_digest).first()
    if row is not None and row.request_digest != wish.request_digest:
        raise IdempotencyMismatch
    return None if row is None else Stored(row=row, created=True)


def _stored(wish: NewDelayedJob, now: dt.datetime) -> Stored:
    due_at = wish.moment.due_at(now)
    agent, queue = _agent_of(wish), _queue_of(wish)
    earlier = _locked_by_key(wish.owner_id, wish.key)
    if earlier is not None:
        if wish.if_exists is IfExists.REFUSE:
            raise KeyTaken(earlier.pk)
        if wish.if_exists is IfExists.POSTPONE:
            _write(earlier, now, due_at=due_at, reason="")
        if wish.if_exists is not IfExists.REPLACE:
            return Stored(row=earlier, created=False)
        end_rows([earlier], DelayedState.CANCELED, now=now, reason=REPLACED)
    row = DelayedJob(
        id=wish.delayed_id,
        owner_id=wish.owner_id,
        agent=agent,
        queue=queue,
        url=wish.url,
        message=wish.message,
        task=wish.task,
        params=dict(wish.params) if wish.params else None,
        source=wish.source,
        actor=wish.actor,
        callback=wish.callback,
        priority=wish.priority,
        distinct_key=wish.distinct_key,
        rate_key=wish.rate_key,
        retries=wish.retries,
        backoff=wish.backoff,
        idempotent=wish.idempotent,
        then=list(wish.then) if wish.then else None,
        key=wish.key,
        key_slot=slot_of_key(wish.key),
        idempotency_digest=wish.idempotency_digest,
        request_digest=wish.request_digest,
        due_at=due_at,
        job_id=None if wish.url else occurrence_id(wish.delayed_id, OCCURRENCE),
        created_at=now,
        updated_at=now,
    )
    row.save(force_insert=True)
    return Stored(row=row, created=True)


def _agent_of(wish: NewDelayedJob) -> Agent | None:
    if not wish.agent:
        return None
    agent = find_agent(viewer=wish, called=wish.agent)
    if not agent.enabled:
        raise InvalidAgent(_("The agent %(name)s is disabled. Enable it first."), params={"name": agent.name})
    return agent


def _queue_of(wish: NewDelayedJob) -> Queue | None:
    if not wish.queue:
        return None
    queue = Queue.objects.filter(owner_id=wish.owner_id, name=wish.queue).first()
    if queue is None:
        raise QueueNotFound(params={"name": wish.queue})
    return queue


def _changed(change: DelayedChange, now: dt.datetime) -> DelayedJob:
    row = lock_scheduled(change.owner_id, change.delayed_id)
    values: dict[str, object] = {}
    if change.moment is not None:
        values |= {"due_at": change.moment.due_at(now), "reason": ""}
    if change.message is not None:
        values["message"] = change.message
        # The words that the row was sent as, if it was, would run in place of the text.
        values["params"] = {name: value for name, value in (row.params or {}).items() if name != "argv"} or None
    if change.callback is not None:
        values["callback"] = change.callback
    _write(row, now, **values)
    return row


def _write(row: DelayedJob, now: dt.datetime, **values: object) -> None:
    for name, value in (values | {"updated_at": now}).items():
        setattr(row, name, value)
    row.save(update_fields=[*values, "updated_at"])


def _locked(owner_id: str, delayed_id: str) -> DelayedJob | None:
    if not is_id(delayed_id):
        return None
    return DelayedJob.objects.select_for_update().filter(owner_id=owner_id, pk=delayed_id).first()


def _locked_by_key(owner_id: str, key: str) -> DelayedJob | None:
    """Lock the row that waits under a key. The slot is free as soon as a row has fired or was canceled."""
    if not key:
        return None
    return DelayedJob.objects.select_for_update().filter(owner_id=owner_id, key_slot=slot_of_key(key)).first()
