"""One rule for names that people give to things: agents, tags, queues, schedules, state entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest
from kernel.ids import is_id
from kernel.text import name_key, unstorable_character

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRule:
    """The shape of a valid name. No name has white space, control characters or invisible characters.

    `longest` counts characters; `longest_key` those of the compared form, which Unicode can make longer.
    `only`: every character is one of these; empty: any. `never`: no character is one of these.
    `reserved`: compared forms that are refused. The three sentences say what is wrong; the first takes `%(limit)s`, the
    last takes `%(name)s`.
    """

    longest: int
    wrong_length: _StrPromise
    wrong_character: _StrPromise
    shortest: int = 1
    longest_key: int = 0
    only: str = ""
    never: str = ""
    may_be_id: bool = True
    reserved: frozenset[str] = frozenset()
    is_reserved: _StrPromise | None = None

    def check(self, name: str) -> str:
        """Return the name; raise InvalidRequest with the sentence that says what is wrong with it."""
        if not self.shortest <= len(name) <= self.longest:
            raise InvalidRequest(self.wrong_length, params={"limit": self.longest})
        if not self._is_plain(name):
            raise InvalidRequest(self.wrong_character, params={"limit": self.longest})
        key = name_key(name)
        if key in self.reserved:
            raise InvalidRequest(self.is_reserved, params={"name": name})
        if not self.may_be_id and is_id(key):
            raise InvalidRequest(_("A name must not look like an id."))
        return name

    def check_key(self, name: str) -> str:
        """Return the form in which the name is compared (`kernel.text.name_key`), checked like the name itself.

        Unicode can turn one character into several: `¨` becomes a space and an accent. Raises InvalidRequest.
        """
        key = name_key(self.check(name))
        if not self.shortest <= len(key) <= (self.longest_key or self.longest):
            raise InvalidRequest(self.wrong_length, params={"limit": self.longest})
        if not self._is_plain(key):
            raise InvalidRequest(self.wrong_character, params={"limit": self.longest})
        return key

    def _is_plain(self, text: str) -> bool:
        if unstorable_character(text) or not text.isprintable() or text.split() != [text]:
            return False
        return not (self.only and set(text) - set(self.only)) and not set(text) & set(self.never)
