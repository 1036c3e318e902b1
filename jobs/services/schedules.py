"""Schedules as their owner makes, changes and ends them. What becomes of their moments: `occurrences.py`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.querysets import Viewer
from accounts.quotas import Usage
from agents.models import Agent
from agents.services.find import find_agent
from jobs.cron.schedule import InvalidSchedule
from jobs.following import Backoff, Follower
from jobs.models import SCHEDULE_NAME_LENGTH, Missed, Overlap, Queue, Schedule, ScheduleRun, WorkCalendar
from jobs.services.calendars import find_calendar
from jobs.services.moments import cron_of
from jobs.services.schedule_ends import drop_waiting
from jobs.services.watching import drop_memory
from kernel.clock import database_now
from kernel.durations import format_duration
from kernel.errors import (
    InvalidAgent,
    InvalidRequest,
    NameTaken,
    QueueNotFound,
    ScheduleLimit,
    ScheduleNotFound,
)
from kernel.ids import is_id
from kernel.keyset import Slice, slice_of
from kernel.strictjson import JsonObject
from kernel.text import unstorable_character
from kernel.transactions import whole

LONGEST_JITTER = dt.timedelta(hours=1)
LONGEST_WITHIN = dt.timedelta(days=7)
LONGEST_GRACE = dt.timedelta(days=400)

# Words of the paths and of the chat: a schedule with such a name could not be asked for.
_RESERVED = frozenset("preview list add del delete pause resume run 列表 添加 删除 暂停 恢复 执行".split())  # noqa: SIM905


class ScheduleFields(TypedDict, total=False):
    """What an owner says of a schedule; each was checked alone. `agent`, `queue`, `calendar` are what they call it."""

    name: str
    agent: str
    queue: str
    message: str
    callback: str
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
    retries: int
    backoff: Backoff | None
    idempotent: bool
    then: list[Follower] | None
    notify: JsonObject | None
    grace_seconds: int | None


_PLAIN = (
    "message", "callback", "cron", "timezone", "only_working_days", "jitter_seconds", "missed", "missed_seconds",
    "overlap", "blackout", "enabled", "paused_until", "retries", "backoff", "idempotent", "then", "notify",
    "grace_seconds",
)  # fmt: skip
_PLACES = ("agent", "queue", "calendar")
_TIMING = ("cron", "timezone", "calendar_id", "jitter_seconds")
_WRITTEN = (*_PLAIN, *_PLACES, "name", "next_at", "expected_at", "alerted_at", "updated_at")


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
    """Which schedules; None: all of them."""

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
    """Return what became of up to `size` moments, those that were decided last first. One query."""
    return slice_of(ScheduleRun.objects.filter(schedule=schedule), before=older_than, size=size)


def create_schedule(*, owner_id: str, fields: ScheduleFields, actor: str, now: dt.datetime | None = None) -> Schedule:
    """Make a schedule.

    Raises InvalidRequest, InvalidSchedule, AgentNotFound, InvalidAgent, QueueNotFound, NotFound for a calendar;
    NameTaken; ScheduleLimit where the owner may have no more.
    """
    with _alone_with(owner_id) as owner:
        return _create(owner, fields, actor, now or database_now())


def put_schedule(*, owner_id: str, called: str, fields: ScheduleFields, actor: str) -> tuple[Schedule, bool]:
    """Make the schedule of that name or, if there is one (by name or id), let it be as the fields say and no more.

    Return it, and whether it was made. Raises what `create_schedule` raises; ScheduleNotFound for an unknown id.
    """
    with _alone_with(owner_id) as owner:
        now = database_now()
        try:
            schedule = find_schedule(viewer=owner, called=called)
        except ScheduleNotFound:
            if is_id(called):
                raise
            return _create(owner, ScheduleFields(name=called) | fields, actor, now), True
        fresh = Schedule(timezone=settings.TIME_ZONE)
        for name in (*_PLAIN, *_PLACES):
            setattr(schedule, name, getattr(fresh, name))
        return _change(owner, schedule, fields, now), False


def change_schedule(*, schedule: Schedule, fields: ScheduleFields, now: dt.datetime | None = None) -> Schedule:
    """Change what is given. Raises what `create_schedule` raises."""
    with _alone_with(schedule.owner_id) as owner:
        return _change(owner, find_schedule(viewer=owner, called=schedule.pk), fields, now or database_now())


def delete_schedule(*, schedule: Schedule) -> None:
    """Remove a schedule and what is known of its moments. Jobs that it has started go on; nobody is told of them."""
    with whole("schedule.delete"):
        drop_memory(schedule)
        Schedule.objects.filter(pk=schedule.pk).delete()


def pause_schedule(*, schedule: Schedule, until: dt.datetime | None = None) -> Schedule:
    """Let nothing of it run until that time; without one it is switched off until it is resumed."""
    fields = ScheduleFields(paused_until=until) if until is not None else ScheduleFields(enabled=False)
    return change_schedule(schedule=schedule, fields=fields)


def resume_schedule(*, schedule: Schedule) -> Schedule:
    """Let it run from now on: a pause ends, one that is off is switched on. Nothing is made up for."""
    return change_schedule(schedule=schedule, fields=ScheduleFields(enabled=True, paused_until=None))


@contextmanager
def _alone_with(owner_id: str) -> Iterator[User]:
    """Lock the owner's row: names and numbers of their schedules are then known to one transaction alone."""
    with whole("schedule.save"):
        yield User.objects.select_for_update().get(pk=owner_id)


def _create(owner: User, fields: ScheduleFields, actor: str, now: dt.datetime) -> Schedule:
    _require_room(owner)
    schedule = Schedule(owner=owner, actor=actor, timezone=settings.TIME_ZONE, created_at=now, updated_at=now)
    apply_fields(owner, schedule, fields)
    _check(schedule)
    plan(owner, schedule, now)
    schedule.save(force_insert=True)
    return schedule


def _change(owner: User, seen: Schedule, fields: ScheduleFields, now: dt.datetime) -> Schedule:
    """Write what `seen` says with the fields over it; its row is locked, so that no scan moves it on meanwhile."""
    before = Schedule.objects.select_for_update().get(pk=seen.pk)
    for name in ("next_at", "expected_at", "alerted_at"):
        setattr(seen, name, getattr(before, name))
    apply_fields(owner, seen, fields)
    _check(seen)
    if not seen.enabled:
        seen.next_at = None
    if any(getattr(seen, name) != getattr(before, name) for name in _TIMING) or seen.enabled > before.enabled:
        plan(owner, seen, now)
    if seen.grace_seconds != before.grace_seconds or not seen.enabled:
        seen.expected_at = seen.alerted_at = None
    if not seen.enabled:
        drop_waiting(seen)
    seen.updated_at = now
    seen.save(update_fields=_WRITTEN)
    return seen


def apply_fields(owner: User, schedule: Schedule, fields: ScheduleFields) -> None:
    """Write the fields on a row that is not saved yet; raise for an agent, queue or calendar that there is not."""
    for name in _PLAIN:
        if name in fields:
            setattr(schedule, name, fields[name])  # type: ignore[literal-required]  # a name of the type above
    if "name" in fields:
        _rename(owner, schedule, fields["name"])
    if fields.get("agent") and fields.get("queue"):
        raise InvalidRequest(_("Send agent or queue, not both."))
    if fields.get("agent"):
        schedule.agent, schedule.queue = _usable_agent(owner, fields["agent"]), None
    if fields.get("queue"):
        schedule.agent, schedule.queue = None, _queue(owner, fields["queue"])
    if "calendar" in fields:
        schedule.calendar = find_calendar(fields["calendar"]) if fields["calendar"] else None


def _usable_agent(owner: User, called: str) -> Agent:
    agent = find_agent(viewer=owner, called=called)
    if not agent.enabled:
        raise InvalidAgent(_("The agent %(name)s is disabled. Enable it first."), params={"name": agent.name})
    return agent


def _queue(owner: User, name: str) -> Queue:
    queue = Queue.objects.filter(owner=owner, name=name).first()
    if queue is None:
        raise QueueNotFound(params={"name": name})
    return queue


def _rename(owner: User, schedule: Schedule, name: str) -> None:
    if not 1 <= len(name) <= SCHEDULE_NAME_LENGTH:
        raise InvalidRequest(
            _("The name of a schedule has 1 to %(limit)s characters."), params={"limit": SCHEDULE_NAME_LENGTH}
        )
    if unstorable_character(name) or not name.isprintable() or name.split() != [name] or "/" in name:
        raise InvalidRequest(_("The name of a schedule has no white space, no slash and no invisible characters."))
    if is_id(name) or name.lower() in _RESERVED:
        raise InvalidRequest(_("A schedule cannot be called %(name)s. Choose another name."), params={"name": name})
    if Schedule.objects.filter(owner=owner, name=name).exclude(pk=schedule.pk).exists():
        raise NameTaken(params={"name": name})
    schedule.name = name


def _check(schedule: Schedule) -> None:
    """Refuse what does not go together."""
    if not schedule.name:
        raise InvalidRequest(_("%(field)s must be text."), params={"field": "name"})
    if (schedule.agent is None) == (schedule.queue is None):
        raise InvalidRequest(_("A schedule needs an agent or a queue."))
    if not schedule.message.strip():
        raise InvalidRequest(_("%(field)s must be text."), params={"field": "message"})
    if schedule.only_working_days and schedule.calendar is None:
        raise InvalidRequest(_("only_working_days needs a calendar, such as cn."))
    if schedule.missed == Missed.ALL and schedule.overlap in (Overlap.SKIP, Overlap.REPLACE):
        raise InvalidRequest(_("Runs that are all made up for overlap: send overlap queue or allow."))


def plan(owner: User, schedule: Schedule, now: dt.datetime) -> None:
    """Find the next moment; refuse an expression that has none, and one that runs more often than its owner may."""
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


# How many, how often


def schedule_usage(owner: User) -> Usage | None:
    """Return how many schedules somebody has, of how many; None: they may have any number, as staff do."""
    if owner.is_staff or not settings.SCHEDULES_PER_USER:
        return None
    used = Schedule.objects.visible_to(owner).count()
    return Usage(name=_("Schedules"), used=used, limit=settings.SCHEDULES_PER_USER)


def shortest_gap_for(owner: User) -> dt.timedelta:
    """Return the shortest time between two runs that somebody may ask for."""
    return dt.timedelta(0) if owner.is_staff else dt.timedelta(seconds=settings.SHORTEST_SCHEDULE_SECONDS)


def _require_room(owner: User) -> None:
    usage = schedule_usage(owner)
    if usage is not None and usage.used >= usage.limit:
        raise ScheduleLimit(params={"used": usage.used, "limit": usage.limit})


def reckon_anew(calendar: WorkCalendar) -> None:
    """Find the next moments of the schedules with a calendar whose days have changed. What is due already stays due."""
    with transaction.atomic():
        now = database_now()
        rows = Schedule.objects.select_for_update().filter(calendar=calendar, enabled=True, next_at__gt=now)
        for schedule in rows.order_by("pk"):
            schedule.calendar = calendar
            try:
                schedule.next_at = cron_of(schedule, after=now).next_after(now)
            except InvalidSchedule:
                # Its next moment is looked at by the scan, which switches it off and tells its owner.
                continue
            schedule.save(update_fields=["next_at"])
