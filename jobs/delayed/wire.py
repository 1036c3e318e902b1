"""Describes, reads and renders delayed jobs."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts.credentials import Principal, require_fields
from jobs.api.fields import check_duration, read_number
from jobs.api.order import OrderSerializer, check_message, read_order_change
from jobs.api.reading import read_callback
from jobs.delayed.service import DelayedChange, IfExists, Moment, NewDelayedJob, check_address
from jobs.models import CALLBACK_LENGTH, KEY_LENGTH, DelayedJob, DelayedState
from jobs.order import JobOrder, check_options
from kernel.clock import rfc3339
from kernel.errors import InvalidDuration, InvalidRequest
from kernel.http.bodies import check_moment, check_text, checked_body
from kernel.idempotency import callers_key
from kernel.outbound import check_url
from kernel.strictjson import JsonObject

_SOURCE = "api"
_ZONE_LENGTH = 64
LARGEST_NUMBER = 10**6
_DELAY_HELP = "`15d`, `1h30m`, Go's and ours, or whole seconds; 1 second to 400 days."
_RUN_AT_HELP = "A time with a zone; or a local time, with `timezone`."


class _Delay(serializers.CharField):
    pattern = "[1-9]"

    def read_value(self, value: object, name: str) -> dt.timedelta:
        return check_duration(value, name)


class _Address(serializers.CharField):
    def read_value(self, value: object, name: str) -> str:
        url = check_text(value, name, limit=CALLBACK_LENGTH)
        return check_text(check_url(url), name, limit=CALLBACK_LENGTH) if url else ""


class NewDelayedJobSerializer(OrderSerializer):
    """A job for later: one of agent, queue and url; one of delay and run_at."""

    url = _Address(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=CALLBACK_LENGTH,
        help_text="It gets a signed POST with message and source. No other option goes with it.",
    )
    delay = _Delay(required=False, allow_null=True, help_text=_DELAY_HELP)
    run_at = serializers.CharField(required=False, allow_null=True, help_text=_RUN_AT_HELP)
    timezone = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=_ZONE_LENGTH, help_text="Such as Asia/Shanghai."
    )
    key = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=KEY_LENGTH,
        help_text="Your word for it, such as an order's.",
    )
    if_exists = serializers.ChoiceField(
        choices=[one.value for one in IfExists],
        required=False,
        allow_null=True,
        help_text="The action if another one waits under the key; `refuse` without it.",
    )


class DelayedChangeSerializer(OrderSerializer):
    """The fields to change; the rest stays. null means the default of a new delayed job."""

    agent = queue = None  # type: ignore[assignment]  # takes the fields away
    delay = _Delay(required=False, allow_null=True, help_text=_DELAY_HELP)
    run_at = serializers.CharField(required=False, allow_null=True, help_text=_RUN_AT_HELP)
    timezone = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=_ZONE_LENGTH)

    refused = dict.fromkeys(
        ("agent", "queue", "url", "key", "if_exists"),
        _("%(field)s cannot be changed. Cancel this delayed job and create another."),
    )


def read_new(data: JsonObject, *, principal: Principal, idempotency_key: str | None) -> NewDelayedJob:
    """Read the body of POST /delayed-jobs."""
    require_fields(principal, data)
    values = checked_body(NewDelayedJobSerializer, data)
    moment = _take_moment(values)
    if moment is None:
        raise InvalidDuration(_("Send delay, such as 15d, or run_at, a time with a zone."))
    url, key, if_exists = (values.pop(name, None) for name in ("url", "key", "if_exists"))
    order = read_order_change(values, source=_SOURCE).onto(JobOrder(source=_SOURCE))
    if [bool(order.agent), bool(order.queue), bool(url)].count(True) != 1:
        raise InvalidRequest(_("Send exactly one of agent, queue and url."))
    check_options(order, in_queue=bool(order.queue))
    check_address(order, url or "")
    return NewDelayedJob(
        owner_id=principal.owner_id,
        actor=principal.actor,
        order=order,
        moment=moment,
        url=url or "",
        key=key or "",
        if_exists=IfExists(if_exists or IfExists.REFUSE),
        idempotency_key=idempotency_key,
    )


def read_own(data: JsonObject, *, principal: Principal, idempotency_key: str | None) -> NewDelayedJob:
    """Read the body of POST /agent/job/delayed: a text that an agent sends to itself. Other fields are ignored.

    `duration` wins over days, hours and minutes, which are added up. Raises InvalidDuration for none or zero of all.
    """
    order = JobOrder(
        agent=principal.agent_id,
        message=check_message(data.get("message"), "message"),
        source=principal.actor,
        callback=read_callback(data),
    )
    return NewDelayedJob(
        owner_id=principal.owner_id,
        actor=principal.actor,
        order=order,
        moment=Moment(delay=_own_delay(data)),
        idempotency_key=callers_key(principal.actor, idempotency_key),
    )


def read_change(data: JsonObject, *, principal: Principal, delayed_id: str) -> DelayedChange:
    """Read the body of PATCH /delayed-jobs/{id}."""
    require_fields(principal, data)
    values = checked_body(DelayedChangeSerializer, data)
    moment, order = _take_moment(values), read_order_change(values, source=_SOURCE)
    return DelayedChange(owner_id=principal.owner_id, delayed_id=delayed_id, moment=moment, order=order)


def delayed_json(row: DelayedJob) -> JsonObject:
    """Render a delayed job. Its agent and queue must be loaded."""
    return {
        **JobOrder.of(row).options,
        "id": row.pk,
        "state": str(row.state),
        "reason": row.reason,
        "due_at": rfc3339(row.due_at),
        "agent_id": row.agent_id,
        "agent": row.agent.name if row.agent else None,
        "queue": row.queue.name if row.queue else None,
        "url": row.url or None,
        "key": row.key,
        "job_id": row.job_id if row.state == DelayedState.FIRED else None,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "fired_at": rfc3339(row.fired_at),
        "canceled_at": rfc3339(row.canceled_at),
    }


def _take_moment(values: dict[str, Any]) -> Moment | None:
    """Take `delay`, or `run_at` with a zone in it or in `timezone`; None if neither was sent."""
    delay, run_at, zone = (values.pop(name, None) for name in ("delay", "run_at", "timezone"))
    if delay is not None and run_at is not None:
        raise InvalidRequest(_("Send delay or run_at, not both."))
    if zone and run_at is None:
        raise InvalidRequest(_("timezone belongs to a run_at without a zone."))
    if delay is not None:
        return Moment(delay=delay)
    if run_at is None:
        return None
    return Moment(run_at=_local_moment(run_at, zone) if zone else check_moment(run_at, "run_at"))


def _local_moment(written: str, zone: str) -> dt.datetime:
    """Return the moment at which clocks of that zone show `written`.

    A time that they show twice is the first of the two; one that they skip is as much later as they skip (PEP 495,
    fold 0).
    """
    try:
        local = parse_datetime(written)
        zone_info = ZoneInfo(zone)
        if local is None or local.tzinfo is not None:
            raise InvalidRequest(_("With timezone, run_at is a local time such as 2030-01-31T08:00:00."))
        return local.replace(tzinfo=zone_info).astimezone(dt.UTC)
    except OverflowError:
        raise InvalidDuration(_("A job can be delayed by 1 second to 400 days.")) from None
    except (ValueError, OSError, LookupError):  # zones are files, and what their names may do wrong differs
        raise InvalidRequest(_("timezone is a name such as Asia/Shanghai, run_at a local time.")) from None


def _own_delay(data: JsonObject) -> dt.timedelta:
    written = data.get("duration")
    if written not in (None, ""):
        if not isinstance(written, str):
            raise InvalidDuration
        return check_duration(written, "duration")
    try:
        days, hours, minutes = (
            read_number(data, name, 0, LARGEST_NUMBER) or 0 for name in ("days", "hours", "minutes")
        )
    except InvalidRequest as error:
        raise InvalidDuration(error.sentence, params=error.params) from None
    if not days and not hours and not minutes:
        raise InvalidDuration
    return dt.timedelta(days=days, hours=hours, minutes=minutes)
