"""Commands as words: a program and its arguments. No shell and no splitting ever touches them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from jobs.models import MESSAGE_LENGTH
from kernel.errors import InvalidMessage
from kernel.text import unstorable_character

WORDS_LIMIT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The text of a job, and its words if it was sent as words."""

    message: str
    argv: tuple[str, ...] | None = None


def read_argv(value: object) -> Command:
    """Read a list of 1 to 64 words; numbers become words. Raises InvalidMessage.

    The text is what a shell would split into the same words: agents that know no words match it like any other.
    """
    if not isinstance(value, list) or not 0 < len(value) <= WORDS_LIMIT:
        raise InvalidMessage(_("argv must be a list of 1 to %(limit)s words."), params={"limit": WORDS_LIMIT})
    return command_of([_word(item) for item in value])


def command_of(words: Sequence[str]) -> Command:
    """Return the command that these words are. Raises InvalidMessage for what no program could be given."""
    if not 0 < len(words) <= WORDS_LIMIT:
        raise InvalidMessage(_("argv must be a list of 1 to %(limit)s words."), params={"limit": WORDS_LIMIT})
    for word in words:
        if found := unstorable_character(word):
            raise InvalidMessage(_("The text holds %(character)s, which cannot be kept."), params={"character": found})
    message = shlex.join(words)
    if len(message) > MESSAGE_LENGTH:
        raise InvalidMessage(_("message has more than %(limit)s characters."), params={"limit": MESSAGE_LENGTH})
    return Command(message=message, argv=tuple(words))


def _word(item: object) -> str:
    """Return text as it is, a number as coyotes prints it: digits and a point, never an exponent."""
    if isinstance(item, str):
        return item
    if isinstance(item, bool) or not isinstance(item, (int, float)):
        raise InvalidMessage(_("A word of argv is text or a number."))
    if isinstance(item, int):
        return str(item)
    plain = format(Decimal(repr(item)), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
