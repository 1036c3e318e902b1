"""Reads and renders delayed jobs."""

from __future__ import annotations

import datetime as dt
from typing import TypedDict
from zoneinfo import ZoneInfo

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from accounts.credentials import Principal
from agents.services.find import LONGEST_CALL
from jobs.api.fields import read_flag, read_moment, read_number, read_text
from jobs.api.following import read_backoff, read_retries, read_then
from jobs.api.reading import read_callback, read_command, read_source
from jobs.delayed.service import DelayedChange, IfExists, Moment, NewDelayedJob
from jobs.following import Backoff, Follower
from jobs.models import CALLBACK_LENGTH, KEY_LENGTH, QUEUE_NAME_LENGTH, DelayedJob, DelayedState
from kernel.clock import rfc3339
from kernel.durations import parse_duration
from kernel.errors import InvalidDuration, InvalidRequest
from kernel.idempotency import callers_key
from kernel.outbound import check_url
from kernel.strictjson import JsonObject

PRIORITY_LIMIT = 1000
_ZONE_LENGTH = 64
_TARGETS = ("agent", "queue", "url")
_LARGEST_NUMBER = 10**6


class DelayedJobJson(TypedDict):
    """A delayed job as its owner gets it. Times are RFC 3339 in UTC or null. One of agent, queue, url is not null."""

    id: str
    state: str
    reason: str
    due_at: str | None
    agent_id: str | None
    agent: str | None
    queue: str | None
    url: str | None
    message: str
    key: str
    source: str
    callback: str
    priority: int
    distinct_key: str
    retry: int
    backoff: Backoff | None
    idempotent: bool
    then: list[Follower] | None
    job_id: str | None
    created_at: str | None
    updated_at: str | None
    fired_at: str | None
    canceled_at: str | None


class DelayedPageJson(TypedDict):
    """A page of delayed jobs, newest first; `next` is the cursor of the following page."""

    items: list[DelayedJobJson]
    next: str | None


def read_wish(
    data: JsonObject, *, principal: Principal, idempotency_key: str | None, default_source: str = "api"
) -> NewDelayedJob:
    """Read the body of POST /delayed-jobs."""
    moment = _moment(data)
    if moment is None:
        raise InvalidDuration(_("Send delay, such as 15d, or run_at, a time with a zone."))
    targets = {name: read_text(data, name, CALLBACK_LENGTH) for name in _TARGETS}
    if len([name for name in _TARGETS if targets[name]]) != 1:
        raise InvalidRequest(_("Send exactly one of agent, queue and url."))
    read_text(data, "agent", LONGEST_CALL)
    read_text(data, "queue", QUEUE_NAME_LENGTH)
    if targets["url"]:
        targets["url"] = check_url(targets["url"])
        if len(targets["url"]) > CALLBACK_LENGTH:
            params: dict[str, object] = {"field": "url", "limit": CALLBACK_LENGTH}
            raise InvalidRequest(_("%(field)s has more than %(limit)s characters."), params=params)
    command = read_command(data)
    return NewDelayedJob(
        owner_id=principal.owner_id,
        actor=principal.actor,
        message=command.message,
        params=command.params,
        moment=moment,
        agent=targets["agent"],
        queue=targets["queue"],
        url=targets["url"],
        key=read_text(data, "key", KEY_LENGTH),
        if_exists=_if_exists(data),
        source=read_source(data) or default_source,
        callback=read_callback(data),
        priority=read_number(data, "priority", -PRIORITY_LIMIT, PRIORITY_LIMIT) or 0,
        distinct_key=read_text(data, "distinct_key", KEY_LENGTH),
        retries=read_retries(data),
        backoff=read_backoff(data),
        idempotent=read_flag(data, "idempotent"),
        then=read_then(data),
        idempotency_key=idempotency_key,
    )


def read_own_wish(data: JsonObject, *, principal: Principal, idempotency_key: str | None) -> NewDelayedJob:
    """Read the body of POST /agent/job/delayed: a text that an agent will send to itself.

    `duration` wins over days, hours and minutes, which are added up. Raises InvalidDuration for none or zero of all.
    """
    return NewDelayedJob(
        owner_id=principal.owner_id,
        actor=principal.actor,
        agent=principal.agent_id,
        message=read_command({"message": data.get("message")}).message,
        moment=Moment(delay=_own_delay(data)),
        source=principal.actor,
        callback=read_callback(data),
        idempotency_key=callers_key(principal.actor, idempotency_key),
    )


def read_change(data: JsonObject, *, principal: Principal, delayed_id: str) -> DelayedChange:
    """Read the body of PATCH /delayed-jobs/{id}."""
    message = None if data.get("message") is None else read_command({"message": data["message"]}).message
    change = DelayedChange(
        owner_id=principal.owner_id,
        delayed_id=delayed_id,
        moment=_moment(data),
        message=message,
        callback=None if data.get("callback") is None else read_callback(data),
    )
    if change.moment is None and change.message is None and change.callback is None:
        raise InvalidRequest(_("Send what is to change: delay or run_at, message, callback."))
    return change


def delayed_json(row: DelayedJob) -> DelayedJobJson:
    """Render a delayed job. Its agent and queue must be loaded."""
    return {
        "id": row.pk,
        "state": str(row.state),
        "reason": row.reason,
        "due_at": rfc3339(row.due_at),
        "agent_id": row.agent_id,
        "agent": row.agent.name if row.agent else None,
        "queue": row.queue.name if row.queue else None,
        "url": row.url or None,
        "message": row.message,
        "key": row.key,
        "source": row.source,
        "callback": row.callback,
        "priority": row.priority,
        "distinct_key": row.distinct_key,
        "retry": row.retries,
        "backoff": row.backoff,
        "idempotent": row.idempotent,
        "then": row.then,
        "job_id": row.job_id if row.state == DelayedState.FIRED else None,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "fired_at": rfc3339(row.fired_at),
        "canceled_at": rfc3339(row.canceled_at),
    }


def _moment(data: JsonObject) -> Moment | None:
    """Read `delay`, or `run_at` with a zone in it or in `timezone`; None where neither is there."""
    delay, run_at = data.get("delay"), data.get("run_at")
    if delay is not None and run_at is not None:
        raise InvalidRequest(_("Send delay or run_at, not both."))
    zone = read_text(data, "timezone", _ZONE_LENGTH)
    if zone and run_at is None:
        raise InvalidRequest(_("timezone belongs to a run_at without a zone."))
    if delay is not None:
        return Moment(delay=parse_duration(delay))
    if run_at is None:
        return None
    return Moment(run_at=_local_moment(run_at, zone) if zone else read_moment(data, "run_at"))


def _local_moment(written: object, zone: str) -> dt.datetime:
    """Return the moment at which clocks of that zone show `written`.

    Where they show it twice, the first; where they skip it, as much later as they skip (PEP 495, fold 0).
    """
    try:
        local = parse_datetime(written) if isinstance(written, str) else None
        place = ZoneInfo(zone)
        if local is None or local.tzinfo is not None:
            raise InvalidRequest(_("With timezone, run_at is a local time such as 2030-01-31T08:00:00."))
        return local.replace(tzinfo=place).astimezone(dt.UTC)
    except OverflowError:
        raise InvalidDuration(_("A job can be delayed by 1 second to 400 days.")) from None
    except (ValueError, OSError, LookupError):  # zones are files, and what their names may do wrong differs
        raise InvalidRequest(_("timezone is a name such as Asia/Shanghai, run_at a local time.")) from None


def _own_delay(data: JsonObject) -> dt.timedelta:
    written = data.get("duration")
    if written not in (None, ""):
        if not isinstance(written, str):
            raise InvalidDuration
        return parse_duration(written)
    try:
        days, hours, minutes = (
            read_number(data, name, 0, _LARGEST_NUMBER) or 0 for name in ("days", "hours", "minutes")
        )
    except InvalidRequest as error:
        raise InvalidDuration(error.sentence, params=error.params) from None
    if not days and not hours and not minutes:
        raise InvalidDuration
    return dt.timedelta(days=days, hours=hours, minutes=minutes)


def _if_exists(data: JsonObject) -> IfExists:
    word = data.get("if_exists")
    if word is None:
        return IfExists.REFUSE
    words = [one.value for one in IfExists]
    if not isinstance(word, str) or word not in words:
        shown = ", ".join(words)
        raise InvalidRequest(_("%(field)s is one of: %(words)s."), params={"field": "if_exists", "words": shown})
    return IfExists(word)
