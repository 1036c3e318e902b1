"""Reads one field of a body of the original's calls, which ignore fields that they do not know, or of a query.

Each returns a checked value, or raises InvalidRequest that names the field. Our own bodies are read by
`kernel.http.bodies.checked_body`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from kernel.durations import parse_duration
from kernel.errors import InvalidDuration
from kernel.http.bodies import check_flag, check_moment, check_number, check_text
from kernel.strictjson import JsonObject


def check_duration(value: object, name: str) -> dt.timedelta:
    """Return a length of time; raise InvalidDuration."""
    try:
        return parse_duration(value)
    except InvalidDuration as error:
        raise InvalidDuration(_("%(field)s: %(problem)s"), params={"field": name, "problem": error}) from None


def read_text(data: JsonObject, field: str, limit: int, *, required: bool = False) -> str:
    """Read a text of at most `limit` characters: empty if the field is missing and not `required`."""
    value = data.get(field)
    if value is None and not required:
        return ""
    return check_text(value, field, limit=limit, blank=not required)


def read_number(data: JsonObject, field: str, low: int, high: int) -> int | None:
    """Read a whole number, or None if the field is missing."""
    value = data.get(field)
    return None if value is None else check_number(value, field, low=low, high=high)


def read_flag(data: JsonObject, field: str) -> bool:
    """Read true or false; false if the field is missing."""
    value = data.get(field)
    return False if value is None else check_flag(value, field)


def read_moment(data: Mapping[str, object], field: str) -> dt.datetime | None:
    """Read a time with a zone, in UTC, or None if the field is missing."""
    value = data.get(field)
    return None if value is None else check_moment(value, field)
