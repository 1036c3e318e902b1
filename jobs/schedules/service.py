"""Schedules as their owner makes, changes and ends them. `scan.py` decides their moments."""

from __future__ import annotations

import copy
import datetime as dt
from dataclasses import dataclass
from typing import TypedDict

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.querysets import Viewer
from agents.services.find import why_unusable
from jobs.models import SCHEDULE_NAME_LENGTH, Missed, Overlap, Schedule, ScheduleRun, WorkCalendar
from jobs.order import JobOrder, OrderChange, check_options
from jobs.schedules.calendars import find_calendar
from jobs.schedules.cron.schedule import InvalidSchedule
from jobs.schedules.ends import drop_waiting
from jobs.schedules.quota import require_room_for_a_schedule, shortest_gap_for
from jobs.schedules.rules import cron_of
from jobs.targets import find_target, require_names
from jobs.watch.service import drop_memory
from kernel.clock import database_now
from kernel.durations import format_duration
from kernel.errors import InvalidRequest, NameTaken, ScheduleNotFound
from kernel.ids import is_id
from kernel.keyset import Slice, slice_of
from kernel.names import NameRule
from kernel.strictjson import JsonObject
from kernel.transactions import named_transaction

LONGEST_JITTER = dt.timedelta(hours=1)
LONGEST_WITHIN = dt.timedelta(days=7)
LONGEST_GRACE = dt.timedelta(days=30)

# Words of the paths and of the chat: a schedule with such a name could not be asked for.
_RESERVED = frozenset("preview list add del delete pause resume run 列表 添加 删除 暂停 恢复 执行".split())  # noqa: SIM905
_NAME = NameRule(
    longest=SCHEDULE_NAME_LENGTH,
    never="/",
    wrong_length=_("The name of a schedule has 1 to %(limit)s characters."),
    wrong_character=_("The name of a schedule has no white space, no slash and no invisible characters."),
    may_be_id=False,
    reserved=_RESERVED,
    is_reserved=_("A schedule cannot be called %(name)s. Choose another name."),
)


class ScheduleFields(TypedDict, total=False):
    """Fields of a schedule, each checked alone; a missing one was not sent. `calendar` is a code, empty for none."""

    order: OrderChange
    name: str
    cron: str
    timezone: str
    calendar: str
    only_working_days: bool
    jitter_seconds: int
    missed: Missed
    missed_seconds: int
    overlap: Overlap
    blackout: list[JsonObject] | None
    enabled: bool
    paused_until: dt.datetime | None
    grace_seconds: int | None


_PLAIN = (
    "cron", "timezone", "only_working_days", "jitter_seconds", "missed", "missed_seconds", "overlap", "blackout",
    "enabled", "paused_until", "grace_seconds",
)  # fmt: skip
# A schedule has no `expires_at`: one time is nothing for jobs that recur.
_OPTIONS = tuple(name for name in JobOrder().columns if name != "expires_at")
_TIMING = ("cron", "timezone", "calendar_id", "jitter_seconds")
_WRITTEN = (
    *_PLAIN, *_OPTIONS, "agent", "queue", "calendar", "name", "next_at", "expected_at", "alerted_at", "updated_at",
)  # fmt: skip


def find_schedule(*, viewer: Viewer, called: str) -> Schedule:
    """Return the viewer's schedule with that id or name; raise ScheduleNotFound. One query."""
    rows = Schedule.objects.visible_to(viewer).select_related("agent", "queue", "calendar")
    found = None
    if len(called) <= SCHEDULE_NAME_LENGTH:
        found = rows.filter(pk=called).first() if is_id(called) else rows.filter(name=called).first()
    if found is None:
        raise ScheduleNotFound(params={"name": called[:SCHEDULE_NAME_LENGTH]})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFilter:
    """The filter of a list of schedules. None means no restriction."""

    agent_id: str | None = None
    enabled: bool | None = None


def list_schedules(*, viewer: Viewer, wanted: ScheduleFilter, older_than: str = "", size: int) -> Slice[Schedule]:
    """Return up to `size` schedules that are older than the id `older_than`, newest first. One query."""
    rows = Schedule.objects.visible_to(viewer).select_related("agent", "queue", "calendar")
    if wanted.agent_id is not None:
        rows = rows.filter(agent_id=wanted.agent_id)
    if wanted.enabled is not None:
        rows = rows.filter(enabled=wanted.enabled)
    return slice_of(rows, before=older_than, size=size)


def list_runs(schedule: Schedule, *, older_than: str = "", size: int) -> Slice[ScheduleRun]:
    """Return up to `size` outcomes, the latest decision first. One query."""
    return slice_of(ScheduleRun.objects.filter(schedule=schedule), before=older_than, size=size)


def create_schedule(*, owner_id: str, fields: ScheduleFields, actor: str, now: dt.datetime | None = None) -> Schedule:
    """Make a schedule.

    Raises InvalidRequest, InvalidMessage, InvalidSchedule, AgentNotFound, InvalidAgent, QueueNotFound, NotFound for a
    calendar;
    NameTaken; ScheduleLimit where the owner may have no more.
    """
    with named_transaction("schedule.create"):
        # The lock makes concurrent calls count each other.
        owner = User.objects.select_for_update().get(pk=owner_id)
        return _create(owner, fields, actor, now or database_now())


def put_schedule(*, owner_id: str, called: str, fields: ScheduleFields, actor: str) -> tuple[Schedule, bool]:
    """Make the schedule of that name or, if there is one (by name or id), let it be as the fields say and no more.

    Return it, and whether it was made. Raises what `create_schedule` raises; ScheduleNotFound for an unknown id;
    InvalidRequest for fields with another name than the one it is called by.
    """
    if not is_id(called) and fields.get("name", called) != called:
        raise InvalidRequest(_("The path names another schedule than the body."))
    owner = User.objects.get(pk=owner_id)
    try:
        schedule = find_schedule(viewer=owner, called=called)
    except ScheduleNotFound:
        if is_id(called):
            raise
        fields |= ScheduleFields(name=called)
        try:
            return create_schedule(owner_id=owner_id, fields=fields, actor=actor), True
        except NameTaken:
            # Another call has made it meanwhile.
            schedule = find_schedule(viewer=owner, called=called)
    return change_schedule(schedule=schedule, fields=fields, afresh=True), False


def change_schedule(
    *, schedule: Schedule, fields: ScheduleFields, afresh: bool = False, now: dt.datetime | None = None
) -> Schedule:
    """Change what is given; `afresh`: what is not given is as in a new one. Raises what `create_schedule` raises.

    The row is locked, so that no scan moves it on meanwhile; not its owner's, which every new job looks at.
    """
    with named_transaction("schedule.save"):
        now = now or database_now()
        row = Schedule.objects.select_for_update().filter(pk=schedule.pk).first()
        if row is None:
            raise ScheduleNotFound(params={"name": schedule.name})
        before = copy.copy(row)
        if afresh:
            fresh = Schedule(timezone=settings.TIME_ZONE)
            for name in (*_PLAIN, *_OPTIONS, "agent", "queue", "calendar"):
                setattr(row, name, getattr(fresh, name))
        return _change(row, before, fields, now)


def delete_schedule(*, schedule: Schedule) -> None:
    """Remove a schedule and what is known of its moments. Its running jobs go on; they send no notices."""
    with named_transaction("schedule.delete"):
        drop_memory(schedule)
        Schedule.objects.filter(pk=schedule.pk).delete()


def pause_schedule(*, schedule: Schedule, until: dt.datetime | None = None) -> Schedule:
    """Let nothing of it run until that time; without one it is switched off until it is resumed."""
    fields = ScheduleFields(paused_until=until) if until is not None else ScheduleFields(enabled=False)
    return change_schedule(schedule=schedule, fields=fields)


def resume_schedule(*, schedule: Schedule) -> Schedule:
    """Let it run from now on: a pause ends, one that is off is switched on. Missed runs are not caught up."""
    return change_schedule(schedule=schedule, fields=ScheduleFields(enabled=True, paused_until=None))


def _create(owner: User, fields: ScheduleFields, actor: str, now: dt.datetime) -> Schedule:
    require_room_for_a_schedule(owner)
    schedule = Schedule(owner=owner, actor=actor, timezone=settings.TIME_ZONE, created_at=now, updated_at=now)
    apply_fields(owner, schedule, fields)
    _check(schedule)
    plan(owner, schedule, now)
    schedule.save(force_insert=True)
    return schedule


def _change(row: Schedule, before: Schedule, fields: ScheduleFields, now: dt.datetime) -> Schedule:
    apply_fields(row.owner, row, fields)
    _check(row)
    if not row.enabled:
        row.next_at = None
    if any(getattr(row, name) != getattr(before, name) for name in _TIMING) or row.enabled > before.enabled:
        plan(row.owner, row, now)
    if row.grace_seconds != before.grace_seconds or not row.enabled:
        row.expected_at = row.alerted_at = None
    if not row.enabled:
        drop_waiting(row)
    row.updated_at = now
    try:
        with transaction.atomic():
            row.save(update_fields=_WRITTEN)
    except IntegrityError:
        # Another schedule has taken the name meanwhile.
        raise NameTaken(params={"name": row.name}) from None
    return row


def apply_fields(owner: User, schedule: Schedule, fields: ScheduleFields) -> None:
    """Write the fields on a row that is not saved yet; raise for an agent, queue or calendar that there is not."""
    for name in _PLAIN:
        if name in fields:
            setattr(schedule, name, fields[name])  # type: ignore[literal-required]  # a name of the type above
    if "name" in fields:
        _rename(owner, schedule, fields["name"])
    if "order" in fields:
        _apply_order(owner, schedule, fields["order"])
    if "calendar" in fields:
        schedule.calendar = find_calendar(fields["calendar"]) if fields["calendar"] else None


def _apply_order(owner: User, schedule: Schedule, change: OrderChange) -> None:
    order = change.onto(JobOrder.of(schedule))
    if order.agent and order.queue:
        raise InvalidRequest(_("Send agent or queue, not both."))
    if order.agent or order.queue:
        target = find_target(owner_id=owner.pk, order=order)
        schedule.agent, schedule.queue = None if target.queue else target.agent, target.queue
    if change.given.keys() & {"then", "notify"}:
        require_names(owner_id=owner.pk, order=order)
    columns = order.columns
    for name in _OPTIONS:
        setattr(schedule, name, columns[name])


def _rename(owner: User, schedule: Schedule, name: str) -> None:
    _NAME.check(name)
    if Schedule.objects.filter(owner=owner, name=name).exclude(pk=schedule.pk).exists():
        raise NameTaken(params={"name": name})
    schedule.name = name


def _check(schedule: Schedule) -> None:
    """Refuse what does not go together."""
    if not schedule.name:
        raise InvalidRequest(_("%(field)s is missing."), params={"field": "name"})
    if (schedule.agent is None) == (schedule.queue is None):
        raise InvalidRequest(_("A schedule needs an agent or a queue."))
    check_options(JobOrder.of(schedule), in_queue=schedule.queue is not None)
    if schedule.only_working_days and schedule.calendar is None:
        raise InvalidRequest(_("only_working_days needs a calendar, such as cn."))
    if schedule.missed == Missed.ALL and schedule.overlap in (Overlap.SKIP, Overlap.REPLACE):
        raise InvalidRequest(
            _("missed=all needs overlap=queue or overlap=allow, because catch-up runs start at the same time.")
        )


def plan(owner: User, schedule: Schedule, now: dt.datetime) -> None:
    """Find the next moment; refuse an expression that has none, and one that runs more often than its owner may."""
    if schedule.enabled and schedule.agent is not None and (refusal := why_unusable(schedule.agent)):
        raise refusal
    cron = cron_of(schedule, after=now)
    gap, shortest = cron.shortest_gap(now), shortest_gap_for(owner)
    if gap < shortest:
        raise InvalidSchedule(
            "frequent",
            _("It would run every %(gap)s. The shortest time between two runs is %(shortest)s here."),
            gap=format_duration(gap),
            shortest=format_duration(shortest),
        )
    if dt.timedelta(seconds=schedule.jitter_seconds) > gap:
        raise InvalidRequest(_("jitter must not be longer than the time between two runs."))
    schedule.next_at = cron.next_after(now) if schedule.enabled else None


def reckon_anew(calendar: WorkCalendar) -> None:
    """Find the next moments of the schedules with a calendar whose days have changed. Schedules that are due already
    stay due.
    """
    with transaction.atomic():
        now = database_now()
        rows = Schedule.objects.select_for_update().filter(calendar=calendar, enabled=True, next_at__gt=now)
        for schedule in rows.order_by("pk"):
            schedule.calendar = calendar
            try:
                schedule.next_at = cron_of(schedule, after=now).next_after(now)
            except InvalidSchedule:
                # The scan reads its next time, disables the schedule and notifies the owner.
                continue
            schedule.save(update_fields=["next_at"])
