"""Reads one field of a body. Each returns a checked value, or raises InvalidRequest that names the field."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest
from kernel.strictjson import JsonObject


def read_text(data: JsonObject, field: str, limit: int, *, required: bool = False) -> str:
    """Read a text of at most `limit` characters: empty where the field is missing and not `required`."""
    value = data.get(field)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise InvalidRequest(_("%(field)s must be text."), params={"field": field})
    if len(value) > limit:
        raise InvalidRequest(
            _("%(field)s has more than %(limit)s characters."), params={"field": field, "limit": limit}
        )
    return value


def read_number(data: JsonObject, field: str, low: int, high: int) -> int | None:
    """Read a whole number, or None where the field is missing."""
    value = data.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequest(
            _("%(field)s must be a whole number from %(low)s to %(high)s."),
            params={"field": field, "low": low, "high": high},
        )
    return value


def read_flag(data: JsonObject, field: str) -> bool:
    """Read true or false; false where the field is missing."""
    value = data.get(field)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(_("%(field)s must be true or false."), params={"field": field})
    return value


def read_moment(data: Mapping[str, object], field: str) -> dt.datetime | None:
    """Read a time with a zone, or None where the field is missing."""
    value = data.get(field)
    if value is None:
        return None
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
        usable = moment is not None and moment.tzinfo is not None
        moment = moment.astimezone(dt.UTC) if moment is not None and usable else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise InvalidRequest(
            _("%(field)s must be a time with a zone, such as 2030-01-31T08:00:00+08:00."), params={"field": field}
        )
    return moment
