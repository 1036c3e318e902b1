"""Templates: the local text is split first, then each value is filled in inside one word.

Values never become text of a script. Without a shell they are arguments or parts of them. With `shell: true` they are
positional parameters, and the script has `"${1}"` instead of `%s`, quoted as the text around it needs.
"""

from __future__ import annotations

import abc
import re
from dataclasses import dataclass
from typing import Sequence

from skadi.words import WordsError, split_words

MAX_ARGUMENTS = 64
VERB = re.compile(r"%(?:\[([0-9]{1,2})\])?([svdq%])")
BRACE = re.compile(r"\{(?:(\*)|([0-9]{1,2})(:)?)")
NUMBER = re.compile(r"[+-]?[0-9]+\Z")


class TemplateError(ValueError):
    """The template cannot be used. The text says how to write it."""


class ArgumentsError(ValueError):
    """The arguments do not fit. The text is for the sender of the job."""


@dataclass(frozen=True)
class Placeholder:
    """A placeholder for a value: argument number `index` from 1, or all remaining ones for 0."""

    index: int
    number: bool = False
    pattern: re.Pattern[str] | None = None

    def check(self, value: str) -> None:
        """Raise ArgumentsError unless the value fits."""
        if self.number and not NUMBER.match(value):
            raise ArgumentsError(f"argument {self.index} must be a whole number")
        if self.pattern and not self.pattern.fullmatch(value):
            raise ArgumentsError(f"argument {self.index} does not match {self.pattern.pattern}")


class PlaceholderScanner:
    """Find the placeholders of a text from left to right. `%s` is numbered as in Go's Printf."""

    def __init__(self) -> None:
        self.following = 1
        self.placeholders: list[Placeholder] = []

    def at(self, text: str, position: int) -> tuple[Placeholder | str, int] | None:
        """Return the placeholder (or the literal for `%%`) at a position, and where it ends; None for plain text."""
        if text[position] == "%":
            return self._verb(text, position)
        if text[position] == "{" and text[position - 1 : position] != "$":
            return self._brace(text, position)
        return None

    def _verb(self, text: str, position: int) -> tuple[Placeholder | str, int]:
        match = VERB.match(text, position)
        if not match:
            raise TemplateError(f"{text[position : position + 2]} is not supported, write %% for a percent sign")
        if match.group(2) == "%":
            return "%", match.end()
        index = int(match.group(1) or self.following)
        self.following = index + 1
        return self._keep(Placeholder(index, number=match.group(2) == "d")), match.end()

    def _brace(self, text: str, position: int) -> tuple[Placeholder, int] | None:
        match = BRACE.match(text, position)
        if not match:
            return None
        end = match.end()
        pattern = None
        if match.group(3):
            depth = 1
            while end < len(text) and depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            if depth:
                return None
            try:
                pattern = re.compile(text[match.end() : end - 1])
            except re.error as error:
                raise TemplateError(f"{text[position:end]}: {error}") from error
        elif text[end : end + 1] == "}":
            end += 1
        else:
            return None
        return self._keep(Placeholder(0 if match.group(1) else int(match.group(2)), pattern=pattern)), end

    def _keep(self, placeholder: Placeholder) -> Placeholder:
        if placeholder.index > MAX_ARGUMENTS:
            raise TemplateError(f"more than {MAX_ARGUMENTS} arguments")
        self.placeholders.append(placeholder)
        return placeholder


def split_placeholders(text: str, scanner: PlaceholderScanner) -> tuple[str | Placeholder, ...]:
    """Split one word into literal parts and placeholders."""
    parts: list[str | Placeholder] = []
    literal = ""
    position = 0
    while position < len(text):
        found = scanner.at(text, position)
        if found is None:
            literal += text[position]
            position += 1
            continue
        item, position = found
        if isinstance(item, str):
            literal += item
            continue
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(item)
    if literal or not parts:
        parts.append(literal)
    return tuple(parts)


@dataclass(frozen=True)
class Template(abc.ABC):
    """The number of arguments, and the form that each must have."""

    placeholders: tuple[Placeholder, ...]

    @property
    def least(self) -> int:
        """Return how many values are needed."""
        return max([placeholder.index for placeholder in self.placeholders], default=0)

    @property
    def takes_rest(self) -> bool:
        """Return whether more values may follow."""
        return any(placeholder.index == 0 for placeholder in self.placeholders)

    def check(self, values: Sequence[str]) -> None:
        """Raise ArgumentsError unless the number and the form of the values fit."""
        wanted = self.least
        if len(values) < wanted or (len(values) > wanted and not self.takes_rest):
            raise ArgumentsError(
                "needs {}{}, got {}".format("at least " if self.takes_rest else "", wanted, len(values))
            )
        for placeholder in self.placeholders:
            if placeholder.index:
                placeholder.check(values[placeholder.index - 1])

    @abc.abstractmethod
    def fill(self, values: Sequence[str]) -> list[str]:
        """Return the argument list for checked values."""

    def rest(self, values: Sequence[str]) -> Sequence[str]:
        """Return the values after those that are needed."""
        return values[self.least :]


@dataclass(frozen=True)
class WordTemplate(Template):
    """A template that becomes an argument list without a shell."""

    words: tuple[tuple[str | Placeholder, ...], ...] = ()

    def fill(self, values: Sequence[str]) -> list[str]:
        argv: list[str] = []
        for word in self.words:
            if len(word) == 1 and isinstance(word[0], Placeholder) and word[0].index == 0:
                argv.extend(self.rest(values))
            else:
                argv.append("".join(self._text(part, values) for part in word))
        return argv

    def _text(self, part: str | Placeholder, values: Sequence[str]) -> str:
        if isinstance(part, str):
            return part
        return values[part.index - 1] if part.index else " ".join(self.rest(values))


def parse_words(text: str) -> WordTemplate:
    """Parse a template without a shell. Raises TemplateError."""
    try:
        words = split_words(text)
    except WordsError as error:
        raise TemplateError(str(error)) from error
    if not words:
        raise TemplateError("the template is empty")
    scanner = PlaceholderScanner()
    filled = tuple(split_placeholders(word, scanner) for word in words)
    return WordTemplate(placeholders=tuple(scanner.placeholders), words=filled)
