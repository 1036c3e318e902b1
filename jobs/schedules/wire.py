"""Describes, reads and renders schedules and the outcomes of their occurrences."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from jobs.api.fields import check_duration
from jobs.api.order import NotifyField, OrderSerializer, read_order_change
from jobs.models import EXPRESSION_LENGTH, SCHEDULE_NAME_LENGTH, ZONE_LENGTH, Missed, Overlap, Schedule, ScheduleRun
from jobs.order import JobOrder
from jobs.schedules.preview import Preview
from jobs.schedules.rules import window_of
from jobs.schedules.service import LONGEST_GRACE, LONGEST_JITTER, LONGEST_WITHIN, ScheduleFields
from jobs.watch.policy import policy_json, read_policy
from kernel.clock import rfc3339
from kernel.durations import format_duration
from kernel.errors import InvalidDuration, InvalidRequest
from kernel.http.bodies import Description, check_object, checked_body, unknown_field
from kernel.strictjson import JsonObject

_WINDOWS_LIMIT = 20
_CODE_LENGTH = 32
_WINDOW_FIELDS = frozenset({"days", "from", "to"})
_ZONE_HELP = "Such as Asia/Shanghai; the server's without it."


class _Length(serializers.CharField):
    """A length of time in whole seconds, of one second (or `shortest`) at least."""

    def __init__(self, *, longest: dt.timedelta, shortest: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.longest, self.shortest = longest, shortest
        self.pattern = "[1-9]" if shortest else None

    def read_value(self, value: object, name: str) -> int:
        length = check_duration(value, name)
        shortest = dt.timedelta(seconds=self.shortest)
        if length != shortest and not dt.timedelta(seconds=1) <= length <= self.longest:
            raise InvalidDuration(
                _("%(field)s is %(shortest)s to %(longest)s."),
                params={
                    "field": name,
                    "shortest": format_duration(shortest),
                    "longest": format_duration(self.longest),
                },
            )
        return int(length.total_seconds())


@extend_schema_serializer(component_name="_Missed")
class MissedSerializer(Description):
    """The policy for missed occurrences. A body may have the policy alone, as text."""

    policy = serializers.ChoiceField(choices=Missed.values, required=False)
    within = _Length(
        longest=LONGEST_WITHIN,
        required=False,
        help_text="How old a missed moment may be and still run.",
    )

    def read_value(self, value: object, name: str) -> dict[str, Any]:
        """Read an object, or a text."""
        given = {"policy": value} if isinstance(value, str) else check_object(value, name)
        return checked_body(MissedSerializer, cast("JsonObject", given), at=f"{name}.")


@extend_schema_field(
    {
        "type": "object",
        "properties": {name: {"type": "string"} for name in sorted(_WINDOW_FIELDS)},
        "required": ["from", "to"],
        "additionalProperties": False,
    }
)
class _Window(serializers.DictField):
    """A window of `blackout`. One of its fields is called `from`, so no serializer can declare it."""


class _Blackout(serializers.ListField):
    def read_value(self, value: object, name: str) -> list[JsonObject] | None:
        return _windows(value) or None


class _Notify(NotifyField):
    def read_value(self, value: object, name: str) -> JsonObject:
        return policy_json(read_policy(value))


class ScheduleBodySerializer(OrderSerializer):
    """A schedule: one of agent and queue."""

    cron = serializers.CharField(max_length=EXPRESSION_LENGTH, help_text="5, 6 or 7 fields, `@every 5m`, `@daily`.")
    timezone = serializers.CharField(required=False, allow_null=True, max_length=ZONE_LENGTH, help_text=_ZONE_HELP)
    calendar = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=_CODE_LENGTH, help_text="Such as `cn`."
    )
    only_working_days = serializers.BooleanField(required=False, allow_null=True)
    blackout = _Blackout(
        child=_Window(),
        required=False,
        allow_null=True,
        max_length=_WINDOWS_LIMIT,
        help_text='Such as `[{"days": "mon-fri", "from": "23:00", "to": "07:00"}]`.',
    )
    paused_until = serializers.DateTimeField(required=False, allow_null=True)
    name = serializers.CharField(required=False, max_length=SCHEDULE_NAME_LENGTH, help_text="Yours; no white space.")
    jitter = _Length(
        source="jitter_seconds",
        longest=LONGEST_JITTER,
        shortest=0,
        required=False,
        allow_null=True,
        help_text="A job starts up to so much later.",
    )
    missed = MissedSerializer(required=False, allow_null=True)
    overlap = serializers.ChoiceField(choices=Overlap.values, required=False, allow_null=True)
    enabled = serializers.BooleanField(required=False, allow_null=True)
    notify = _Notify(required=False, allow_null=True, help_text="The results that send a message: docs/schedules.md.")
    grace = _Length(
        source="grace_seconds",
        longest=LONGEST_GRACE,
        required=False,
        allow_null=True,
        help_text="Within so long of its moment a run must have ended well.",
    )
    wait_until = None  # type: ignore[assignment]  # takes the field away

    refused = {"wait_until": _("%(field)s is one time, and a schedule recurs. Send ttl: it counts for each job.")}


class ScheduleChangeSerializer(ScheduleBodySerializer):
    """The fields to change; all others stay. null sets the default of a new schedule."""

    cron = serializers.CharField(required=False, max_length=EXPRESSION_LENGTH)


class TimingSerializer(ScheduleBodySerializer):
    """When: what `POST /schedules/preview` takes. The rest of a schedule may be sent too."""


class PauseSerializer(Description):
    """Nothing runs until this time."""

    until = serializers.DateTimeField(
        required=False, allow_null=True, help_text="A time with a zone; until it is resumed without it."
    )


_DEFAULTS: ScheduleFields = {
    "calendar": "",
    "only_working_days": False,
    "jitter_seconds": 0,
    "missed": Missed.ONCE,
    "missed_seconds": 3600,
    "overlap": Overlap.SKIP,
    "enabled": True,
}
"""The value that null stands for. Fields that are not here are null themselves."""


def read_schedule(data: JsonObject) -> ScheduleFields:
    """Read the body of a new schedule, of one that is put, or of a preview."""
    return _fields(checked_body(ScheduleBodySerializer, data))


def read_change(data: JsonObject) -> ScheduleFields:
    """Read what is to change of a schedule."""
    return _fields(checked_body(ScheduleChangeSerializer, data))


def _fields(values: dict[str, Any]) -> ScheduleFields:
    order = read_order_change(values)
    if "missed" in values:
        missed = values.pop("missed") or {}
        values |= {"missed": missed.get("policy"), "missed_seconds": missed.get("within")}
    defaults = cast("dict[str, Any]", {**_DEFAULTS})
    defaults["timezone"] = settings.TIME_ZONE
    given = {name: defaults.get(name) if value is None else value for name, value in values.items()}
    return cast("ScheduleFields", given | {"order": order})


def _windows(given: object) -> list[JsonObject]:
    if not isinstance(given, list) or len(given) > _WINDOWS_LIMIT:
        raise InvalidRequest(_("blackout is a list of at most %(limit)s windows."), params={"limit": _WINDOWS_LIMIT})
    rows: list[JsonObject] = []
    for number, value in enumerate(given):
        place = f"blackout[{number}]"
        row = check_object(value, place)
        if unknown := sorted(row.keys() - _WINDOW_FIELDS):
            raise unknown_field(unknown[0], _WINDOW_FIELDS, at=f"{place}.")
        try:
            window = window_of(row)
        except (ValueError, KeyError):
            raise InvalidRequest(
                _('%(field)s is written so: {"days": "mon-fri", "from": "23:00", "to": "07:00"}.'),
                params={"field": place},
            ) from None
        kept: JsonObject = {"from": f"{window.start:%H:%M}", "to": f"{window.end:%H:%M}"}
        rows.append(kept | ({"days": str(row["days"])[:_CODE_LENGTH].lower()} if row.get("days") else {}))
    return rows


def schedule_json(schedule: Schedule) -> JsonObject:
    """Render a schedule. Its agent, queue and calendar must be loaded."""
    return {
        **JobOrder.of(schedule).options,
        "id": schedule.pk,
        "name": schedule.name,
        "enabled": schedule.enabled,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "agent_id": schedule.agent_id,
        "agent": schedule.agent.name if schedule.agent else None,
        "queue": schedule.queue.name if schedule.queue else None,
        "calendar": schedule.calendar.code if schedule.calendar else None,
        "only_working_days": schedule.only_working_days,
        "jitter": _length(schedule.jitter_seconds),
        "missed": {"policy": str(schedule.missed), "within": _length(schedule.missed_seconds)},
        "overlap": str(schedule.overlap),
        "blackout": schedule.blackout or [],
        "paused_until": rfc3339(schedule.paused_until),
        "grace": None if schedule.grace_seconds is None else _length(schedule.grace_seconds),
        "next_at": rfc3339(schedule.next_at),
        "expected_at": rfc3339(schedule.expected_at),
        "alerted_at": rfc3339(schedule.alerted_at),
        "created_at": rfc3339(schedule.created_at),
        "updated_at": rfc3339(schedule.updated_at),
    }


def run_json(run: ScheduleRun) -> JsonObject:
    """Render the outcome of an occurrence."""
    return {
        "id": run.pk,
        "due_at": rfc3339(run.due_at),
        "outcome": str(run.outcome),
        "reason": run.reason,
        "count": run.count,
        "job_id": run.job_id,
        "created_at": rfc3339(run.created_at),
    }


def preview_json(preview: Preview) -> JsonObject:
    """Render what an expression means."""
    zone = ZoneInfo(preview.cron.timezone)
    return {
        "runs": [{"at": rfc3339(run), "local": run.astimezone(zone).isoformat()} for run in preview.runs],
        "sentences": {language: preview.cron.sentence(language) for language in ("zh-hans", "en")},
        "warnings": list(preview.warnings),
    }


def _length(seconds: int) -> str:
    return format_duration(dt.timedelta(seconds=seconds))
