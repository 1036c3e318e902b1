"""The notify policy of a job or schedule: which runs notify its owner, and which differences count as news."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TypeVar

from django.utils.translation import gettext_lazy as _

from jobs.api.fields import read_number, read_text
from jobs.watch.patterns import EXPRESSION_LENGTH, Patterns
from kernel.errors import InvalidRequest
from kernel.http.bodies import unknown_field
from kernel.strictjson import JsonObject
from kernel.text import unstorable_character
from notifications.models import CHANNEL_NAME_LENGTH, Level

Word = TypeVar("Word", bound=StrEnum | Level)

PATTERNS_LIMIT = 20
PATH_LENGTH = 200
MESSAGE_LENGTH = 2000
NAMES_LIMIT = 20
MENTION_LENGTH = 64
CONFIRM_LIMIT = 100
TRIES_LIMIT = 1000
LONGEST_SECONDS = 400 * 86_400
LARGEST_NUMBER = 1e15

PLACEHOLDER = re.compile(r"\{(\w+)\}")
PLACEHOLDERS = ("name", "count", "added", "removed", "text")
"""Placeholders that a message may contain, in braces."""

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d{1,5})\]")
EVERYBODY = "@all"


class When(StrEnum):
    """The runs that make a notice."""

    ALWAYS = "always"
    """Every run."""
    FAILURE = "failure"
    """Every failed run, beginning with failure number `max_tries` in a row."""
    EDGES = "edges"
    """Failure number `max_tries` in a row, and the first success after it."""
    CHANGE = "change"
    """News, and both edges."""


class Mode(StrEnum):
    """The differences that count as news in a run that succeeded."""

    NEW_ITEMS = "new-items"
    """A line, or a JSON element by `key`, that did not occur within `forget_seconds`."""
    DIFF = "diff"
    """Added or removed lines. The order of lines does not matter."""
    VALUE = "value"
    """The first number in the text: it crosses `above` or `below`, differs by `delta`; without limits, it differs."""
    SCRIPT = "script"
    """The script decides: exit code 10 is news, 0 is not, every other code is a failure."""
    ALWAYS = "always"
    """Every success."""
    JSON = "json"
    """The value at `path`."""
    EXIT = "exit"
    """A different exit code. With `when: change` no exit code is a failure."""


class Empty(StrEnum):
    """How to treat an output with nothing to compare: blank, no number, no JSON, or no value at the path."""

    IGNORE = "ignore"
    """Keep the memory, report nothing."""
    CHANGE = "change"
    """Treat it as an output from which every line was removed."""
    FAIL = "fail"
    """Treat the run as failed."""


class First(StrEnum):
    """Whether the first run makes a notice."""

    SILENT = "silent"
    NOTIFY = "notify"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyPolicy:
    """A checked policy. The field names are those of the JSON.

    - `ignore`: regular expressions; a line that contains a match is not compared.
    - `confirm`: a change counts once this many runs in a row show it.
    - `cooldown_seconds`: least time between two notices of one kind; a change in between is reported after it.
    - `key`: "line", or a path inside each JSON element.
    - `level`: level of news. A failure is at least a warning.
    - `mention`: user names at the service; "@all" mentions the whole group.
    - `channels`: names or ids. Empty means the owner's channels for the level.
    - `message`: text of a news notice, with PLACEHOLDERS. Empty means the changed lines.
    """

    when: When = When.EDGES
    mode: Mode = Mode.DIFF
    key: str = "line"
    path: str = ""
    ignore: tuple[str, ...] = ()
    forget_seconds: int = 30 * 86_400
    empty: Empty = Empty.IGNORE
    confirm: int = 1
    first: First = First.SILENT
    above: float | None = None
    below: float | None = None
    delta: float | None = None
    max_tries: int = 1
    cooldown_seconds: int = 0
    level: Level = Level.INFO
    mention: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    message: str = ""

    @property
    def has_thresholds(self) -> bool:
        """Whether a number counts only when it crosses a limit."""
        return not (self.above is None and self.below is None and self.delta is None)

    @property
    def needs_memory(self) -> bool:
        """Whether the policy compares several runs, so that a single run cannot be evaluated."""
        return self.when == When.CHANGE or self.max_tries > 1 or self.cooldown_seconds > 0


def read_policy(data: object) -> NotifyPolicy:
    """Return the policy in a JSON value; missing and null fields have their defaults.

    Raises InvalidRequest that names the field. An unknown field is refused too, because a misspelt one would silence a
    notice that a user relies on. `jobs.watch.patterns` bounds the cost of `ignore`.
    """
    if not isinstance(data, Mapping):
        raise InvalidRequest(_("%(field)s must be an object."), params={"field": "notify"})
    given = {str(name): value for name, value in data.items() if value is not None}
    unknown = sorted(given.keys() - {field.name for field in fields(NotifyPolicy)})
    if unknown:
        raise unknown_field(unknown[0], (field.name for field in fields(NotifyPolicy)), at="notify.")
    try:
        return _policy(given)
    except InvalidRequest as error:
        if "field" in error.params:
            error.params["field"] = f"notify.{error.params['field']}"
        raise


def _policy(given: JsonObject) -> NotifyPolicy:
    default = NotifyPolicy()
    policy = NotifyPolicy(
        when=_word(given, "when", default.when),
        mode=_word(given, "mode", default.mode),
        key=_path(given, "key", default.key),
        path=_path(given, "path", default.path),
        ignore=_ignore(given),
        forget_seconds=_whole(given, "forget_seconds", default.forget_seconds, 1, LONGEST_SECONDS),
        empty=_word(given, "empty", default.empty),
        confirm=_whole(given, "confirm", default.confirm, 1, CONFIRM_LIMIT),
        first=_word(given, "first", default.first),
        above=_number(given, "above"),
        below=_number(given, "below"),
        delta=_number(given, "delta"),
        max_tries=_whole(given, "max_tries", default.max_tries, 1, TRIES_LIMIT),
        cooldown_seconds=_whole(given, "cooldown_seconds", default.cooldown_seconds, 0, LONGEST_SECONDS),
        level=_word(given, "level", default.level),
        mention=tuple(EVERYBODY if name == "all" else name for name in _texts(given, "mention", MENTION_LENGTH)),
        channels=_texts(given, "channels", CHANNEL_NAME_LENGTH),
        message=_message(given),
    )
    _check_together(policy)
    return policy


def policy_json(policy: NotifyPolicy) -> JsonObject:
    """Return every field of the policy, in the form that `read_policy` reads."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(policy).items()}


def path_steps(path: str) -> list[str | int] | None:
    """Return the names and numbers of a path such as `a.b[0].c`. An empty path means the value itself, None no path."""
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or (step.group().startswith(".") != (step.group(1) is not None and at > 0)):
            return None
        steps.append(step.group(1) if step.group(1) is not None else int(step.group(2)))
        at = step.end()
    return steps


def _check_together(policy: NotifyPolicy) -> None:
    """Refuse combinations of fields that have no meaning."""
    if policy.mode == Mode.JSON and not policy.path:
        raise InvalidRequest(_("%(field)s is needed: what to compare."), params={"field": "path"})
    for name in ("above", "below", "delta"):
        if policy.mode != Mode.VALUE and getattr(policy, name) is not None:
            raise InvalidRequest(_("%(field)s is for the mode value."), params={"field": name})
    if policy.delta is not None and policy.delta <= 0:
        raise InvalidRequest(_("%(field)s must be more than 0."), params={"field": "delta"})


def _word(given: JsonObject, field: str, default: Word) -> Word:
    value = given.get(field, default)
    words = [str(word) for word in type(default)]
    if not isinstance(value, str) or value not in words:
        raise InvalidRequest(_("%(field)s is one of: %(words)s."), params={"field": field, "words": ", ".join(words)})
    return type(default)(value)


def _whole(given: JsonObject, field: str, default: int, low: int, high: int) -> int:
    number = read_number(given, field, low, high)
    return default if number is None else number


def _number(given: JsonObject, field: str) -> float | None:
    value = given.get(field)
    if value is None:
        return None
    # The comparison also refuses NaN.
    if not isinstance(value, int | float) or isinstance(value, bool) or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise InvalidRequest(_("%(field)s must be a number."), params={"field": field})
    return float(value)


def _text(given: JsonObject, field: str, limit: int) -> str:
    text = read_text(given, field, limit)
    if found := unstorable_character(text):
        raise InvalidRequest(_("The text holds %(character)s, which cannot be kept."), params={"character": found})
    return text


def _texts(given: JsonObject, field: str, length: int, limit: int = NAMES_LIMIT) -> tuple[str, ...]:
    value = given.get(field, [])
    if not isinstance(value, list | tuple) or len(value) > limit:
        raise InvalidRequest(
            _("%(field)s is a list of at most %(limit)s texts."), params={"field": field, "limit": limit}
        )
    named: JsonObject = {f"{field}[{number}]": one for number, one in enumerate(value)}
    for name, one in named.items():
        if not isinstance(one, str) or not one.strip():
            raise InvalidRequest(_("%(field)s must be text."), params={"field": name})
    return tuple(_text(named, name, length) for name in named)


def _ignore(given: JsonObject) -> tuple[str, ...]:
    expressions = _texts(given, "ignore", EXPRESSION_LENGTH, PATTERNS_LIMIT)
    for number in range(len(expressions)):
        try:
            Patterns(expressions[: number + 1])
        except InvalidRequest as error:
            raise InvalidRequest(
                _("%(field)s: %(problem)s"), params={"field": f"ignore[{number}]", "problem": error}
            ) from error
    return expressions


def _path(given: JsonObject, field: str, default: str) -> str:
    path = _text(given, field, PATH_LENGTH) if field in given else default
    if path_steps(path) is None:
        raise InvalidRequest(_("%(field)s is a path such as a.b[0].c."), params={"field": field})
    return path


def _message(given: JsonObject) -> str:
    message = _text(given, "message", MESSAGE_LENGTH)
    for word in PLACEHOLDER.findall(message):
        if word not in PLACEHOLDERS:
            known = " ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise InvalidRequest(
                _("%(field)s: there is no {%(word)s}, but %(places)s."),
                params={"field": "message", "word": word[:50], "places": known},
            )
    return message
