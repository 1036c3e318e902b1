"""Extract from an output what a policy compares: lines, elements, a number, a JSON value, or the exit code.

The amount is bounded for every input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b

from jobs.watch.patterns import Patterns
from jobs.watch.policy import Mode, NotifyPolicy, path_steps
from kernel.errors import InvalidRequest
from kernel.strictjson import parse_value
from kernel.visible import visible_text

COMPARED_CHARACTERS = 256 * 1024
"""Only the first characters of an output are compared. With the limits in `patterns` this bounds the work."""

LINES_LIMIT = 5000
LINE_LENGTH = 1000

_NUMBER = re.compile(r"(?:(?<![\w.,])[-+\u2212])?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,40})(?:\.[0-9]{1,40})?")
_PLAIN_NAME = re.compile(r"[\w-]+")
_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One compared element. Two elements with the same `identity` are the same one; `shown` is its text in a notice."""

    identity: str
    shown: str


def extract(policy: NotifyPolicy, *, text: str, exit_code: int | None) -> tuple[Element, ...] | None:
    """Return the elements that this policy compares: none is blank, none is longer than LINE_LENGTH characters.

    An empty tuple means that the output holds nothing to compare. None means that the policy expects JSON elements
    and the output is something else.
    """
    if policy.mode == Mode.EXIT:
        return () if exit_code is None else (_line(str(exit_code)),)
    if policy.mode == Mode.JSON:
        return _kept(policy, map(_line, _json_lines(_at(_parsed(text), policy.path))))
    if policy.mode == Mode.NEW_ITEMS and policy.key != "line":
        value = _parsed(text if text.strip() else "[]")
        return _kept(policy, _elements(value, policy.key)) if isinstance(value, list | dict) else None
    lines = _kept(policy, map(_line, text.split("\n")))
    if policy.mode != Mode.VALUE:
        return lines
    number = first_number("\n".join(line.shown for line in lines))
    return () if number is None else (_line(plain_number(number)),)


def first_number(text: str) -> Decimal | None:
    """Return the first number in `text`: 12, -3.5, 1,234.56. A dash after a letter or a digit is not a sign."""
    found = _NUMBER.search(text)
    return Decimal(found.group().replace(",", "").replace("\u2212", "-")) if found else None


def plain_number(number: Decimal) -> str:
    """Return the one normal form of a number: 1.50 and 1.5 both give `1.5`."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def short_line(line: str) -> str:
    """Return a line of at most LINE_LENGTH characters; two different lines stay different."""
    if len(line) <= LINE_LENGTH:
        return line
    mark = blake2b(line.encode(), digest_size=8).hexdigest()
    return f"{line[: LINE_LENGTH - len(mark) - 3]}… #{mark}"


def clean(text: str) -> str:
    """Return `text` with U+FFFD in place of NUL and lone surrogates, which a database refuses."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _line(text: str) -> Element:
    """Return a line as a person sees it: without colour codes and without invisible characters at its end."""
    shown = short_line(visible_text(text.rstrip()).rstrip())
    return Element(identity=shown, shown=shown)


def _kept(policy: NotifyPolicy, items: Iterable[Element]) -> tuple[Element, ...]:
    """Return the elements that are neither blank nor ignored, within the limits."""
    patterns = Patterns(policy.ignore)
    kept: list[Element] = []
    room = COMPARED_CHARACTERS
    for item in items:
        room -= len(item.shown) + 1
        if room < 0 or len(kept) == LINES_LIMIT:
            break
        if item.shown and not (policy.ignore and patterns.found_in(item.shown)):
            kept.append(item)
    return tuple(kept)


def _parsed(text: str) -> object:
    try:
        return parse_value(text.encode("utf-8", "surrogatepass"))
    except InvalidRequest:
        return _ABSENT


def _elements(value: list[object] | dict[str, object], key: str) -> Iterator[Element]:
    """Yield the elements of an array, or the one object. The value at `key` is the identity, else the whole element."""
    for element in value if isinstance(value, list) else [value]:
        known_by = _at(element, key)
        shown = _line(_leaf(element)).shown
        yield Element(identity=shown if known_by is _ABSENT else json.dumps(known_by, sort_keys=True), shown=shown)


def _at(value: object, path: str) -> object:
    for step in path_steps(path) or ():
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step, _ABSENT)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return _ABSENT
    return value


def _json_lines(value: object, path: str = "") -> Iterator[str]:
    """Yield one line per leaf with its path. The order of keys does not matter; the order of elements does."""
    if value is _ABSENT:
        return
    if isinstance(value, dict) and value:
        for name, inner in sorted(value.items()):
            shown = name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)
            yield from _json_lines(inner, f"{path}.{shown}" if path else shown)
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _json_lines(inner, f"{path}[{number}]")
    else:
        yield f"{path}: {_leaf(value)}" if path else _leaf(value)


def _leaf(value: object) -> str:
    """Return a value as one line that is not blank. A text that is such a line is returned unchanged."""
    if isinstance(value, str) and value.strip() == value and value.isprintable() and value:
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
