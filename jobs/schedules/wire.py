"""Reads and renders schedules and what became of their moments."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TypedDict, TypeVar
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.services.find import LONGEST_CALL
from jobs.api.fields import read_flag, read_moment, read_text
from jobs.api.following import read_backoff, read_retries, read_then
from jobs.api.reading import read_callback, read_command
from jobs.following import Backoff, Follower
from jobs.models import (
    EXPRESSION_LENGTH,
    QUEUE_NAME_LENGTH,
    SCHEDULE_NAME_LENGTH,
    ZONE_LENGTH,
    Missed,
    Overlap,
    Schedule,
    ScheduleRun,
)
from jobs.schedules.preview import Preview
from jobs.schedules.rules import window_of
from jobs.schedules.service import LONGEST_GRACE, LONGEST_JITTER, LONGEST_WITHIN, ScheduleFields
from jobs.watch.policy import policy_json, read_policy
from kernel.clock import rfc3339
from kernel.durations import format_duration, parse_duration
from kernel.errors import InvalidDuration, InvalidRequest
from kernel.strictjson import JsonObject, JsonValue

_WINDOWS_LIMIT = 20
_CODE_LENGTH = 32
_WINDOW_FIELDS = frozenset({"days", "from", "to"})
_Choice = TypeVar("_Choice", bound=models.TextChoices)


class MissedJson(TypedDict):
    """What becomes of missed moments, and how old one may be and still run."""

    policy: str
    within: str


class ScheduleJson(TypedDict):
    """A schedule as its owner gets it. Times are RFC 3339 in UTC or null, lengths of time such as `1h30m`."""

    id: str
    name: str
    enabled: bool
    cron: str
    timezone: str
    agent_id: str | None
    agent: str | None
    queue: str | None
    message: str
    callback: str
    calendar: str | None
    only_working_days: bool
    jitter: str
    missed: MissedJson
    overlap: str
    blackout: list[JsonObject]
    paused_until: str | None
    retry: int
    backoff: Backoff | None
    idempotent: bool
    then: list[Follower] | None
    notify: JsonObject | None
    grace: str | None
    next_at: str | None
    expected_at: str | None
    alerted_at: str | None
    created_at: str | None
    updated_at: str | None


class SchedulePageJson(TypedDict):
    """A page of schedules, newest first; `next` is the cursor of the following page."""

    items: list[ScheduleJson]
    next: str | None


class RunJson(TypedDict):
    """What became of a moment. `count` moments for one reason share a row; `due_at` is the first of them."""

    id: str
    due_at: str | None
    outcome: str
    reason: str
    count: int
    job_id: str | None
    created_at: str | None


class RunPageJson(TypedDict):
    """A page of runs, those that were decided last first."""

    items: list[RunJson]
    next: str | None


class ComingRunJson(TypedDict):
    """A run that is to come, in UTC and as the clocks of the schedule's zone show it."""

    at: str | None
    local: str


class PreviewJson(TypedDict):
    """What an expression means: the next runs, one sentence in each language, and what may be meant otherwise."""

    runs: list[ComingRunJson]
    sentences: dict[str, str]
    warnings: list[str]


def read_fields(data: JsonObject) -> ScheduleFields:
    """Read what a body says of a schedule: only the fields that are there. null is the default, as if it were new.

    Raises InvalidRequest that names the field, InvalidDuration, InvalidMessage.
    """
    fields = ScheduleFields()
    for name, read in _READERS.items():
        if name in data:
            fields |= read(data)
    return fields


def _missed(data: JsonObject) -> ScheduleFields:
    given = data["missed"] if data["missed"] is not None else {}
    if isinstance(given, str):
        given = {"policy": given}
    if not isinstance(given, dict) or given.keys() - {"policy", "within"}:
        raise InvalidRequest(_("missed is an object with policy and within."))
    within = _seconds(given, "within", LONGEST_WITHIN)
    return {
        "missed": _choice(given, "policy", Missed, Missed.ONCE),
        "missed_seconds": 3600 if within is None else within,
    }


def _blackout(data: JsonObject) -> ScheduleFields:
    given = data["blackout"] if data["blackout"] is not None else []
    if not isinstance(given, list) or len(given) > _WINDOWS_LIMIT:
        raise InvalidRequest(_("blackout is a list of at most %(limit)s windows."), params={"limit": _WINDOWS_LIMIT})
    rows: list[JsonObject] = []
    for row in given:
        try:
            if not isinstance(row, dict) or row.keys() - _WINDOW_FIELDS:
                raise ValueError(row)
            window = window_of(row)
        except (ValueError, KeyError):
            raise InvalidRequest(
                _('A blackout window is written so: {"days": "mon-fri", "from": "23:00", "to": "07:00"}.')
            ) from None
        kept: JsonObject = {"from": f"{window.start:%H:%M}", "to": f"{window.end:%H:%M}"}
        rows.append(kept | ({"days": str(row["days"])[:_CODE_LENGTH].lower()} if row.get("days") else {}))
    return {"blackout": rows or None}


def _notify(data: JsonObject) -> ScheduleFields:
    return {"notify": None if data["notify"] is None else policy_json(read_policy(data["notify"]))}


def _paused_until(data: JsonObject) -> ScheduleFields:
    return {"paused_until": read_moment(data, "paused_until")}


def _enabled(data: JsonObject) -> ScheduleFields:
    return {"enabled": True if data["enabled"] is None else read_flag(data, "enabled")}


def _retry(data: JsonObject) -> ScheduleFields:
    return {"retries": read_retries(data)}


_READERS: dict[str, Callable[[JsonObject], ScheduleFields]] = {
    "name": lambda data: {"name": read_text(data, "name", SCHEDULE_NAME_LENGTH, required=True)},
    "agent": lambda data: {"agent": read_text(data, "agent", LONGEST_CALL)},
    "queue": lambda data: {"queue": read_text(data, "queue", QUEUE_NAME_LENGTH)},
    "message": lambda data: {"message": read_command({"message": data["message"]}).message},
    "callback": lambda data: {"callback": read_callback(data)},
    "cron": lambda data: {"cron": read_text(data, "cron", EXPRESSION_LENGTH, required=True)},
    "timezone": lambda data: {"timezone": read_text(data, "timezone", ZONE_LENGTH, required=True)},
    "calendar": lambda data: {"calendar": read_text(data, "calendar", _CODE_LENGTH)},
    "only_working_days": lambda data: {"only_working_days": read_flag(data, "only_working_days")},
    "jitter": lambda data: {"jitter_seconds": _seconds(data, "jitter", LONGEST_JITTER) or 0},
    "missed": _missed,
    "overlap": lambda data: {"overlap": _choice(data, "overlap", Overlap, Overlap.SKIP)},
    "blackout": _blackout,
    "enabled": _enabled,
    "paused_until": _paused_until,
    "retry": _retry,
    "backoff": lambda data: {"backoff": read_backoff(data)},
    "idempotent": lambda data: {"idempotent": read_flag(data, "idempotent")},
    "then": lambda data: {"then": read_then(data)},
    "notify": _notify,
    "grace": lambda data: {"grace_seconds": _seconds(data, "grace", LONGEST_GRACE)},
}


def _seconds(data: JsonObject, field: str, longest: dt.timedelta) -> int | None:
    """Read a length of time in whole seconds, at least one; None where the field is missing or null."""
    value = data.get(field)
    if value is None:
        return None
    length = parse_duration(value)
    if length == dt.timedelta(0) and field == "jitter":
        return 0
    if not dt.timedelta(seconds=1) <= length <= longest:
        raise InvalidDuration(
            _("%(field)s is 1 second to %(longest)s."), params={"field": field, "longest": format_duration(longest)}
        )
    return int(length.total_seconds())


def _choice(data: JsonObject, field: str, choices: type[_Choice], default: _Choice) -> _Choice:
    value: JsonValue = data.get(field)
    if value is None:
        return default
    if not isinstance(value, str) or value not in choices.values:
        raise InvalidRequest(
            _("%(field)s is one of: %(words)s."), params={"field": field, "words": ", ".join(choices.values)}
        )
    return choices(value)


def schedule_json(schedule: Schedule) -> ScheduleJson:
    """Render a schedule. Its agent, queue and calendar must be loaded."""
    return {
        "id": schedule.pk,
        "name": schedule.name,
        "enabled": schedule.enabled,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "agent_id": schedule.agent_id,
        "agent": schedule.agent.name if schedule.agent else None,
        "queue": schedule.queue.name if schedule.queue else None,
        "message": schedule.message,
        "callback": schedule.callback,
        "calendar": schedule.calendar.code if schedule.calendar else None,
        "only_working_days": schedule.only_working_days,
        "jitter": _length(schedule.jitter_seconds),
        "missed": {"policy": str(schedule.missed), "within": _length(schedule.missed_seconds)},
        "overlap": str(schedule.overlap),
        "blackout": schedule.blackout or [],
        "paused_until": rfc3339(schedule.paused_until),
        "retry": schedule.retries,
        "backoff": schedule.backoff,
        "idempotent": schedule.idempotent,
        "then": schedule.then,
        "notify": schedule.notify,
        "grace": None if schedule.grace_seconds is None else _length(schedule.grace_seconds),
        "next_at": rfc3339(schedule.next_at),
        "expected_at": rfc3339(schedule.expected_at),
        "alerted_at": rfc3339(schedule.alerted_at),
        "created_at": rfc3339(schedule.created_at),
        "updated_at": rfc3339(schedule.updated_at),
    }


def run_json(run: ScheduleRun) -> RunJson:
    """Render what became of a moment."""
    return {
        "id": run.pk,
        "due_at": rfc3339(run.due_at),
        "outcome": str(run.outcome),
        "reason": run.reason,
        "count": run.count,
        "job_id": run.job_id,
        "created_at": rfc3339(run.created_at),
    }


def preview_json(preview: Preview) -> PreviewJson:
    """Render what an expression means."""
    zone = ZoneInfo(preview.cron.timezone)
    return {
        "runs": [{"at": rfc3339(run), "local": run.astimezone(zone).isoformat()} for run in preview.runs],
        "sentences": {language: preview.cron.sentence(language) for language in ("zh-hans", "en")},
        "warnings": list(preview.warnings),
    }


def _length(seconds: int) -> str:
    return format_duration(dt.timedelta(seconds=seconds))
