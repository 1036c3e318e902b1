"""Jobs for a later moment: created, changed, canceled. `release.py` fires them, `listing.py` finds them.

A row is changed only while it is scheduled, and under its lock: the second of two callers sees what the first has done.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from jobs.delayed.ends import REPLACED, end_rows
from jobs.models import DelayedJob, DelayedState
from jobs.old_digests import old_delayed_digest
from jobs.order import OF_QUEUES, JobOrder, OrderChange, check_options
from jobs.room import delayed_jobs
from jobs.targets import Target, find_target, require_names
from kernel.clock import database_now
from kernel.errors import (
    AppError,
    DelayedJobLimit,
    IdempotencyMismatch,
    InvalidDuration,
    InvalidRequest,
    KeyTaken,
    NotFound,
    NotScheduled,
)
from kernel.idempotency import digest_of_key
from kernel.ids import is_id, new_id, occurrence_id

SHORTEST_DELAY = dt.timedelta(seconds=1)
LONGEST_DELAY = dt.timedelta(days=400)
OCCURRENCE = "1"
"""A delayed job fires once; the id of its job follows from its own and this."""


class IfExists(Enum):
    """The choices for an order whose key a scheduled row has. The values are words of the wire."""

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
        """The moment as part of a digest."""
        return [self.delay.total_seconds() if self.delay else None, self.run_at.isoformat() if self.run_at else None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelayedJob:
    """An order for a moment: for its agent or queue, or as a POST to `url`.

    `delayed_id` is made once, before the first try: the same order tried again finds its own row.
    """

    owner_id: str
    actor: str
    order: JobOrder
    moment: Moment
    url: str = ""
    key: str = ""
    if_exists: IfExists = IfExists.REFUSE
    idempotency_key: str | None = None
    delayed_id: str = field(default_factory=new_id)

    @property
    def idempotency_digest(self) -> str | None:
        """The key as it is stored."""
        return digest_of_key(self.idempotency_key)

    @property
    def request_digest(self) -> str:
        """The digest that two requests with one key must share to count as the same request."""
        return self.order.digest(self.url, self.moment.written, self.key, self.if_exists.value)

    def has_digest(self, stored: str) -> bool:
        """Tell whether that is the digest of this request."""
        return stored == self.request_digest or stored == old_delayed_digest(
            self.order, url=self.url, moment=self.moment.written, key=self.key, if_exists=self.if_exists.value
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The row that answers an order, and whether the order made it."""

    row: DelayedJob
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedChange:
    """A change of a scheduled row. Without a moment the moment stays; agent, queue, address and key always stay."""

    owner_id: str
    delayed_id: str
    moment: Moment | None = None
    order: OrderChange = field(default_factory=OrderChange)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedRef:
    """One delayed job of an owner: by its id, or by the key under which it is scheduled."""

    owner_id: str
    delayed_id: str = ""
    key: str = ""


def check_address(order: JobOrder, url: str) -> None:
    """Refuse options of a job where a POST to `url` is all that happens. Raises InvalidRequest that names the first."""
    unusable = order.body.keys() - {"message", "source"} if url else set()
    if unusable:
        raise InvalidRequest(
            _("%(field)s is for a job, and a POST to url starts none."), params={"field": min(unusable)}
        )


def slot_of_key(key: str) -> str | None:
    """Return what a scheduled row holds in `key_slot`: a digest, so that case and length do not matter to databases."""
    return hashlib.sha256(key.encode()).hexdigest() if key else None


def create_delayed(wanted: Sequence[NewDelayedJob], *, now: dt.datetime | None = None) -> list[Stored | AppError]:
    """Store each order; a repeated one is answered with the row it made before.

    Per item: InvalidDuration for a moment out of range; AgentNotFound, InvalidAgent for one that is disabled,
    QueueNotFound; InvalidRequest for a wait_until that is not after the moment; KeyTaken under a key that is scheduled,
    unless `if_exists` says what then; DelayedJobLimit; IdempotencyMismatch.
    Raises IntegrityError when another transaction won a race for a key: the caller tries again and finds its row.
    """
    with transaction.atomic():
        now = now or database_now()
        outcomes: list[Stored | AppError] = []
        for new in wanted:
            try:
                outcomes.append(_repeated(new) or _stored(new, now))
            except AppError as error:
                outcomes.append(error)
    return outcomes


def change_delayed(changes: Sequence[DelayedChange], *, now: dt.datetime | None = None) -> list[DelayedJob | AppError]:
    """Change scheduled rows. Per item: NotFound, NotScheduled, InvalidDuration, InvalidRequest, InvalidMessage."""
    with transaction.atomic():
        now = now or database_now()
        outcomes: list[DelayedJob | AppError] = []
        for change in changes:
            try:
                outcomes.append(_changed(change, now))
            except AppError as error:
                outcomes.append(error)
    return outcomes


def cancel_delayed(wanted: Sequence[DelayedRef], *, now: dt.datetime | None = None) -> list[DelayedJob | AppError]:
    """Cancel scheduled rows, again with the same answer. Per item: NotFound; NotScheduled for one that has fired."""
    with transaction.atomic():
        now = now or database_now()
        outcomes: list[DelayedJob | AppError] = []
        for one in wanted:
            row = _locked_by_key(one.owner_id, one.key) if one.key else _locked(one.owner_id, one.delayed_id)
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
    """Lock a delayed job in any state; raise NotFound."""
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


def _repeated(new: NewDelayedJob) -> Stored | None:
    """Return the row that the same request made before, if there is one; raise IdempotencyMismatch for another's."""
    row = DelayedJob.objects.filter(pk=new.delayed_id).first()
    if row is None and new.idempotency_digest is not None:
        row = DelayedJob.objects.filter(owner_id=new.owner_id, idempotency_digest=new.idempotency_digest).first()
    if row is not None and not new.has_digest(row.request_digest):
        raise IdempotencyMismatch
    return None if row is None else Stored(row=row, created=True)


def _stored(new: NewDelayedJob, now: dt.datetime) -> Stored:
    due_at = new.moment.due_at(now)
    _check_wait(new.order.wait_until, due_at)
    require_names(owner_id=new.owner_id, order=new.order)
    target = Target(agent=None) if new.url else find_target(owner_id=new.owner_id, order=new.order)
    earlier = _locked_by_key(new.owner_id, new.key)
    if earlier is not None:
        if new.if_exists is IfExists.REFUSE:
            raise KeyTaken(earlier.pk)
        if new.if_exists is IfExists.POSTPONE:
            _check_wait(earlier.expires_at, due_at)
            _write(earlier, now, due_at=due_at, reason="")
        if new.if_exists is not IfExists.REPLACE:
            return Stored(row=earlier, created=False)
        end_rows([earlier], DelayedState.CANCELED, now=now, reason=REPLACED)
    given, limit = delayed_jobs.take(new.owner_id, 1)
    if not given:
        raise DelayedJobLimit(params={"used": limit, "limit": limit})
    row = DelayedJob(
        **new.order.columns,
        id=new.delayed_id,
        owner_id=new.owner_id,
        agent=None if target.queue else target.agent,
        queue=target.queue,
        url=new.url,
        actor=new.actor,
        key=new.key,
        key_slot=slot_of_key(new.key),
        idempotency_digest=new.idempotency_digest,
        request_digest=new.request_digest,
        due_at=due_at,
        job_id=None if new.url else occurrence_id(new.delayed_id, OCCURRENCE),
        created_at=now,
        updated_at=now,
    )
    row.save(force_insert=True)
    return Stored(row=row, created=True)


def _check_wait(until: dt.datetime | None, due_at: dt.datetime) -> None:
    if until is not None and not due_at < until <= due_at + LONGEST_DELAY:
        raise InvalidRequest(_("wait_until must lie after the moment of the job, at most 400 days."))


def _changed(change: DelayedChange, now: dt.datetime) -> DelayedJob:
    row = lock_scheduled(change.owner_id, change.delayed_id)
    values: dict[str, object] = {}
    if change.moment is not None:
        values |= {"due_at": change.moment.due_at(now), "reason": ""}
    order = change.order.onto(JobOrder.of(row))
    if change.order.given.keys() & {"then", "notify"}:
        require_names(owner_id=row.owner_id, order=order)
    if change.order.given:
        # Rows stored before priority and the like were refused without a queue may have them still.
        check_options(order, in_queue=row.queue_id is not None or not change.order.given.keys() & set(OF_QUEUES))
        check_address(order, row.url)
        values |= order.columns
    _check_wait(order.wait_until, change.moment.due_at(now) if change.moment else row.due_at)
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
    """Lock the row that is scheduled under a key. The slot is free when a row has fired or was canceled."""
    if not key:
        return None
    return DelayedJob.objects.select_for_update().filter(owner_id=owner_id, key_slot=slot_of_key(key)).first()
