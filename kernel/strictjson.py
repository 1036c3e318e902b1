"""A parser for untrusted JSON. The standard parser accepts NaN, lone surrogates and any depth; this one does not."""

from __future__ import annotations

import json
import re
from typing import NoReturn, TypeAlias

from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest
from kernel.text import unstorable_character

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = "dict[str, JsonValue]"

DEPTH_LIMIT = 20
_NUMBER_DIGITS = 20
# The possessive quantifier and the optional closing quote keep this to one pass over any body.
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = re.compile(rb"[^\[\]{}]+")


def parse_object(body: bytes) -> JsonObject:
    """Return the JSON object in `body`; an empty body is an empty object.

    Raises InvalidRequest for everything that `parse_value` refuses, and for a value of another type.
    """
    value = parse_value(body) if body else {}
    if not isinstance(value, dict):
        raise InvalidRequest(_("The body must be a JSON object."))
    return value


def parse_value(body: bytes) -> JsonValue:
    """Return the JSON value in `body`.

    Raises InvalidRequest for bad UTF-8, bad JSON, more than 20 levels, numbers of more than 20 digits, NaN and
    infinities, doubled keys, NUL and lone surrogates.
    """
    if _depth(body) > DEPTH_LIMIT:
        raise InvalidRequest(_("The JSON is nested too deeply."))
    try:
        text = body.decode()
        value: JsonValue = json.loads(
            text, parse_constant=_refuse_constant, parse_int=_int, parse_float=_float, object_pairs_hook=_object
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest(_("The body is not UTF-8.")) from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(_("The body is not JSON.")) from error
    _check_strings(value)
    return value


def _depth(body: bytes) -> int:
    deepest = depth = 0
    for byte in _NO_BRACKETS.sub(b"", _STRINGS.sub(b"", body)):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _int(digits: str) -> int:
    if len(digits) > _NUMBER_DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("out of range")
    return value


def _object(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("doubled key")
    return result


def _check_strings(value: JsonValue) -> None:
    if isinstance(value, str):
        if found := unstorable_character(value):
            raise InvalidRequest(_("The text holds %(character)s, which cannot be kept."), params={"character": found})
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_strings(key)
            _check_strings(item)
