"""A parser for untrusted JSON. The standard parser accepts NaN, lone surrogates and any depth; this one does not."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest
from kernel.text import unstorable_character

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = "dict[str, JsonValue]"

DEPTH_LIMIT = 20
_NUMBER_DIGITS = 20
_SHOWN_CHARACTERS = 50
# Each cause by the beginning of the standard parser's message.
_CAUSES = (
    ("Invalid control character", _("Write a line break inside a text as \\n, and a tab as \\t.")),
    ("Invalid \\", _("Write a backslash inside a text twice: \\\\.")),
    ("Unterminated string", _("A text has no quote at its end.")),
    ("Expecting property name", _("A name in double quotes must stand here. No comma stands before a closing brace.")),
    ("Illegal trailing comma", _("No comma stands before a closing brace or bracket.")),
    ("Expecting ',' delimiter", _('A comma is missing, or a quote inside a text is not written as \\".')),
    ("Expecting ':' delimiter", _("A colon is missing after the name.")),
    ("Extra data", _("Something follows the end of the JSON.")),
    ("", _("A value is missing here. Put text in double quotes.")),
)
# The possessive quantifier and the optional closing quote keep this to one pass over any body.
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = re.compile(rb"[^\[\]{}]+")


def parse_object(body: bytes) -> JsonObject:
    """Return the JSON object in `body`; an empty body is an empty object.

    Raises InvalidRequest for everything that `parse_value` refuses, and for a value of another type.
    """
    value = parse_value(body) if without_mark(body) else {}
    if not isinstance(value, dict):
        raise InvalidRequest(_("The body must be a JSON object."))
    return value


def without_mark(body: bytes) -> bytes:
    """Return the body without the byte order mark that some Windows programs put in front."""
    return body.removeprefix(codecs.BOM_UTF8)


def parse_value(body: bytes) -> JsonValue:
    """Return the JSON value in `body`.

    A byte order mark in front is skipped. Raises InvalidRequest for bad UTF-8, bad JSON, more than 20 levels, numbers
    of more than 20 digits, NaN and infinities, doubled keys, NUL and lone surrogates.
    """
    body = without_mark(body)
    if _depth(body) > DEPTH_LIMIT:
        raise InvalidRequest(_("The JSON is nested too deeply."))
    try:
        text = body.decode()
        value: JsonValue = json.loads(
            text, parse_constant=_refuse_number, parse_int=_int, parse_float=_float, object_pairs_hook=_object
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest(_("The body is not UTF-8.")) from error
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            _("The body is not JSON. Line %(line)s, character %(column)s: %(cause)s"),
            params={"line": error.lineno, "column": error.colno, "cause": _cause_of(error)},
        ) from error
    _check_strings(value)
    return value


def _cause_of(error: json.JSONDecodeError) -> _StrPromise:
    return next(sentence for beginning, sentence in _CAUSES if error.msg.startswith(beginning))


def _depth(body: bytes) -> int:
    deepest = depth = 0
    for byte in _NO_BRACKETS.sub(b"", _STRINGS.sub(b"", body)):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _refuse_number(written: str) -> NoReturn:
    raise InvalidRequest(
        _("The body has the number %(number)s. Numbers have at most %(limit)s digits, and NaN and Infinity are none."),
        params={"number": written[:_NUMBER_DIGITS], "limit": _NUMBER_DIGITS},
    )


def _int(digits: str) -> int:
    if len(digits) > _NUMBER_DIGITS:
        _refuse_number(digits)
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        _refuse_number(digits)
    return value


def _object(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        counts = Counter(name for name, _value in pairs)
        doubled = next(name for name, count in counts.items() if count > 1)
        _check_strings(doubled)
        raise InvalidRequest(_("%(field)s was sent twice."), params={"field": doubled[:_SHOWN_CHARACTERS] or '""'})
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
