"""Reads a JSON body by the serializer that draws its schema, so that a body has one description.

`checked_body(Description, data)` visits the fields that were sent, refuses one that the description does not have, and
returns the checked values by the field's `source`. A description is compiled once into a table of checks; DRF's own
`is_valid()` takes a hundred times as long, and the hottest write of the API is read here.

A field type of DRF has its check in `_CHECKS`. A field with a rule of its own has a method `read_value(value, name)`,
which returns the checked value or raises an AppError that names `name`; its `pattern` draws the rule into the schema.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from kernel.errors import InvalidRequest
from kernel.strictjson import JsonObject

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Check: TypeAlias = Callable[[Any, str], Any]
_SHOWN_CHARACTERS = 50


class Description(serializers.Serializer[Any]):
    """A serializer that reads a body.

    `refused` has a sentence for each field that other bodies of the kind have and this one has not; it may hold
    %(field)s.
    """

    refused: Mapping[str, str | _StrPromise] = {}


@dataclass(frozen=True, slots=True)
class _Compiled:
    checks: dict[str, tuple[str, Check, bool]]
    """By name in JSON: name of the value, its check, whether null may stand for it."""
    required: frozenset[str]
    refused: Mapping[str, str | _StrPromise]


def checked_body(description: type[serializers.Serializer[Any]], data: JsonObject, *, at: str = "") -> dict[str, Any]:
    """Return the values of the fields that were sent; None for a null, where the description allows null.

    `at` is put before names in errors, such as `then[0].`. Raises InvalidRequest for a field that is wrong, unknown, or
    required and missing.
    """
    compiled = _compile(description)
    values: dict[str, Any] = {}
    for name, value in data.items():
        known = compiled.checks.get(name)
        if known is None and value is None and name in compiled.refused:
            # An answer that is sent back has it so.
            continue
        if known is None:
            raise _unknown(name, compiled, at)
        attribute, check, nullable = known
        values[attribute] = None if value is None and nullable else check(value, at + name)
    if not compiled.required <= data.keys():
        missing = min(compiled.required - data.keys())
        raise InvalidRequest(_("%(field)s is missing."), params={"field": at + missing})
    return values


def check_text(value: object, name: str, *, limit: int | None = None, blank: bool = True) -> str:
    """Return a text of at most `limit` characters."""
    if not isinstance(value, str):
        raise InvalidRequest(_("%(field)s must be text."), params={"field": name})
    if not value and not blank:
        raise InvalidRequest(_("%(field)s must be text that is not empty."), params={"field": name})
    if limit is not None and len(value) > limit:
        raise InvalidRequest(_("%(field)s has more than %(limit)s characters."), params={"field": name, "limit": limit})
    return value


def check_number(value: object, name: str, *, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`; 1.0 and true are none."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequest(
            _("%(field)s must be a whole number from %(low)s to %(high)s."),
            params={"field": name, "low": low, "high": high},
        )
    return value


def check_flag(value: object, name: str) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise InvalidRequest(_("%(field)s must be true or false."), params={"field": name})
    return value


def check_moment(value: object, name: str) -> dt.datetime:
    """Return a time that was written with a zone, in UTC."""
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
        in_utc = moment.astimezone(dt.UTC) if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        in_utc = None
    if in_utc is None:
        raise InvalidRequest(
            _("%(field)s must be a time with a zone, such as 2030-01-31T08:00:00+08:00."), params={"field": name}
        )
    return in_utc


def check_word(value: object, name: str, *, words: Iterable[str]) -> str:
    """Return one of these words."""
    if not isinstance(value, str) or value not in words:
        raise InvalidRequest(_("%(field)s is one of: %(words)s."), params={"field": name, "words": ", ".join(words)})
    return value


def check_object(value: object, name: str) -> JsonObject:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise InvalidRequest(_("%(field)s must be an object."), params={"field": name})
    return value


def check_list(value: object, name: str, *, check: Check, low: int, high: int | None) -> list[Any]:
    """Return a list with that many items, each checked."""
    if not isinstance(value, list):
        raise InvalidRequest(_("%(field)s must be a list."), params={"field": name})
    if len(value) < low or (high is not None and len(value) > high):
        raise InvalidRequest(
            _("%(field)s is a list of %(low)s to %(high)s items."),
            params={"field": name, "low": low, "high": "…" if high is None else high},
        )
    return [check(item, f"{name}[{number}]") for number, item in enumerate(value)]


@cache
def _compile(description: type[serializers.Serializer[Any]]) -> _Compiled:
    fields = {name: field for name, field in description().fields.items() if not field.read_only}
    return _Compiled(
        checks={name: (field.source or name, check_of(field), field.allow_null) for name, field in fields.items()},
        required=frozenset(name for name, field in fields.items() if field.required),
        refused=getattr(description, "refused", {}),
    )


def check_of(field: Any) -> Check:
    """Return the check of a declared field; raise TypeError for a type that has none."""
    own: Check | None = getattr(field, "read_value", None)
    if own is not None:
        return own
    for kind, make in _CHECKS.items():
        if isinstance(field, kind):
            return make(field)
    raise TypeError(f"no check for {type(field).__name__}: give it read_value, or add it to _CHECKS")


def _nested(field: Any) -> Check:
    description = type(field)
    return lambda value, name: checked_body(description, check_object(value, name), at=f"{name}.")


def _anything(value: Any, name: str) -> Any:
    return value


_LARGEST = 2**63 - 1
_CHECKS: dict[type, Callable[[Any], Check]] = {
    serializers.ChoiceField: lambda field: partial(check_word, words=tuple(map(str, field.choices))),
    serializers.CharField: lambda field: partial(check_text, limit=field.max_length, blank=field.allow_blank),
    serializers.IntegerField: lambda field: partial(
        check_number,
        low=-_LARGEST if field.min_value is None else field.min_value,
        high=_LARGEST if field.max_value is None else field.max_value,
    ),
    serializers.BooleanField: lambda field: check_flag,
    serializers.DateTimeField: lambda field: check_moment,
    serializers.ListSerializer: lambda field: partial(
        check_list, check=check_of(field.child), low=field.min_length or 0, high=field.max_length
    ),
    serializers.Serializer: _nested,
    serializers.ListField: lambda field: partial(
        check_list, check=check_of(field.child), low=field.min_length or 0, high=field.max_length
    ),
    serializers.DictField: lambda field: check_object,
    serializers.JSONField: lambda field: _anything,
}
"""By field type, what makes its check. Fields that are not listed are a TypeError at the first body."""


def _unknown(name: str, compiled: _Compiled, at: str) -> InvalidRequest:
    if name in compiled.refused:
        return InvalidRequest(compiled.refused[name], params={"field": at + name})
    return unknown_field(name, compiled.checks, at=at)


def unknown_field(name: str, known: Iterable[str], *, at: str = "") -> InvalidRequest:
    """Return the error for a field that a body does not have, with the nearest known one; `at` is put before both."""
    shown, nearest = _shown_and_nearest(name, known)
    params: dict[str, object] = {"field": at + shown}
    if nearest:
        params["nearest"] = at + nearest
        return InvalidRequest(_("%(field)s is not a field here. Did you mean %(nearest)s?"), params=params)
    return InvalidRequest(_("%(field)s is not a field here."), params=params)


def check_parameters(sent: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a query parameter that a call does not have, with the nearest known one."""
    for name in sent:
        if name in known:
            continue
        shown, nearest = _shown_and_nearest(name, known)
        if nearest:
            raise InvalidRequest(
                _("%(field)s is not a query parameter here. Did you mean %(nearest)s?"),
                params={"field": shown, "nearest": nearest},
            )
        raise InvalidRequest(_("%(field)s is not a query parameter here."), params={"field": shown})


def _shown_and_nearest(name: str, known: Iterable[str]) -> tuple[str, str | None]:
    """Return a name as errors show it, never empty, and the nearest known one."""
    nearest = difflib.get_close_matches(name[:_SHOWN_CHARACTERS], known, n=1)
    return name[:_SHOWN_CHARACTERS] or '""', nearest[0] if nearest else None
