"""Search lines for regular expressions that users wrote, in bounded time.

Python's engine backtracks: `(a+)+$` on forty letters runs practically without end, and no other thread can stop it.
This module compiles all expressions into one automaton. Its state is a set of positions, stored as the bits of an
integer. It reads each character once. A step costs at most one table lookup for each eight positions, and
POSITIONS_LIMIT bounds their number: 25 lookups. So the worst expression on the longest text takes about a second. A
cache of steps makes ordinary expressions about as fast as Python's engine. An automaton cannot express look-around,
back-references or possessive repeats, so they are refused. Python's engine still decides whether one character matches
a class (`[a-z]`, `\\d`): once for each character of the text and each of at most SETS_LIMIT classes.

Source of the method: Thompson, "Regular Expression Search Algorithm", CACM 11(6), 1968.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest

EXPRESSION_LENGTH = 200
POSITIONS_LIMIT = 200
"""Limit for all expressions together. Letters, sets, branches and repeats count, each as often as `{n}` repeats it."""

SETS_LIMIT = 64
"""Limit of different classes and letters without case, for all expressions together."""

_REMEMBERED = 10_000

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?:|[*+?][?+]?|\{(?:\d+(?:,\d*)?|,\d*)\}[?+]?|.", re.DOTALL)
_REPEAT = re.compile(r"([*+?])\??|\{(\d*)(,?)(\d*)\}\??")
# Accepts escapes that match exactly one character; refuses letter escapes that match anything else.
_ESCAPE = re.compile(r"\\[dDwWsSt]|\\[^a-zA-Z0-9]", re.DOTALL)
# Python warns that it may change the meaning of these.
_DOUBTFUL_SET = re.compile(r"\[|--|&&|~~|\|\|")
_IGNORE_CASE = "(?i)"
_WORD = re.compile(r"\w")

_LITERAL = re.compile(r"\\?([^\\a-zA-Z0-9])|([a-zA-Z0-9])", re.DOTALL)

_EDGE, _IN_WORD, _BETWEEN = "edge", "word", "between"

_Part = Callable[[int], int]
"""Adds the positions of a part of an expression in front of the given position; returns where the part begins."""


class Patterns:
    """A set of compiled expressions. Not thread-safe: `found_in` fills caches."""

    def __init__(self, expressions: Sequence[str]) -> None:
        """Compile the expressions. Raises InvalidRequest that says what is wrong with the first bad one."""
        self._tests: list[re.Pattern[str] | None] = []
        self._next: list[tuple[int, ...]] = []
        self._asserts: list[str] = []
        self._end = self._add()
        self._begin = tuple(_Reader(expression, self._add, self._lead).part()(self._end) for expression in expressions)
        self._width = len(self._tests) // 8 + 1
        self._closures: dict[tuple[int, str, str], int] = {}
        self._tables: dict[tuple[str, str], list[dict[int, int]]] = {}
        self._literals: dict[str, int] = {}
        self._sets = self._sort_tests()
        self._taking: dict[str, int] = {}
        self._moves: dict[tuple[int, str, str], int] = {}

    def found_in(self, line: str) -> bool:
        """Tell whether any expression matches somewhere in `line`, as `re.search` would. The line has no line end."""
        state, before = 0, _EDGE
        for letter in line:
            after = _kind(letter)
            key = (state, before, letter)
            reached = self._moves.get(key)
            if reached is None:
                reached = self._step(state, before, after, letter)
                if len(self._moves) >= _REMEMBERED:
                    self._moves.clear()
                self._moves[key] = reached
            if reached & 1 << self._end:
                return True
            state, before = reached, after
        return bool(self._closure(state, before, _EDGE) & 1 << self._end)

    def _step(self, state: int, before: str, after: str, letter: str) -> int:
        """Return the positions after `letter`. A match that was complete before the letter stays complete."""
        wanted = self._closure(state, before, after)
        taking = self._taking.get(letter)
        if taking is None:
            taking = self._literals.get(letter, 0)
            for test, positions in self._sets:
                if test.fullmatch(letter):
                    taking |= positions
            self._taking[letter] = taking
        return wanted & (taking | 1 << self._end)

    def _closure(self, state: int, before: str, after: str) -> int:
        """Return the positions that may consume the next letter: successors of `state`, and the beginnings."""
        wanted = self._behind(-1, before, after)
        if not state:
            return wanted
        tables = self._tables.get((before, after))
        if tables is None:
            tables = self._tables[before, after] = [{0: 0} for _ in range(self._width)]
        for at, byte in enumerate(state.to_bytes(self._width, "little")):
            found = tables[at].get(byte)
            if found is None:
                found = tables[at][byte] = self._behind_all(byte, 8 * at, before, after)
            wanted |= found
        return wanted

    def _behind_all(self, bits: int, first: int, before: str, after: str) -> int:
        """Return the successors of the positions that `bits` names, counted from `first`."""
        wanted = 0
        for bit in range(8):
            if bits >> bit & 1:
                wanted |= self._behind(first + bit, before, after)
        return wanted

    def _behind(self, position: int, before: str, after: str) -> int:
        """Return the positions that may consume a letter after `position`, between letters of these kinds.

        Position -1 stands for the beginning of every expression.
        """
        key = (position, before, after)
        if key not in self._closures:
            found, seen = 0, set[int]()
            waiting = list(self._begin if position < 0 else self._next[position])
            while waiting:
                at = waiting.pop()
                if at in seen:
                    continue
                seen.add(at)
                if self._tests[at] or at == self._end:
                    found |= 1 << at
                elif _holds(self._asserts[at], before, after):
                    waiting += self._next[at]
            self._closures[key] = found
        return self._closures[key]

    def _sort_tests(self) -> list[tuple[re.Pattern[str], int]]:
        """Fill `_literals`; return the other tests, each once, with the bits of its positions."""
        sets: dict[re.Pattern[str], int] = {}
        for at, test in enumerate(self._tests):
            if test is None:
                continue
            literal = None if test.flags & re.IGNORECASE else _LITERAL.fullmatch(test.pattern)
            if literal and test.pattern not in ".":
                letter = literal[1] or literal[2]
                self._literals[letter] = self._literals.get(letter, 0) | 1 << at
            else:
                sets[test] = sets.get(test, 0) | 1 << at
        if len(sets) > SETS_LIMIT:
            raise InvalidRequest(_("The expressions are too long, or repeat too much."))
        return list(sets.items())

    def _add(self, *following: int, test: re.Pattern[str] | None = None, asserts: str = "") -> int:
        if len(self._tests) > POSITIONS_LIMIT:
            raise InvalidRequest(_("The expressions are too long, or repeat too much."))
        self._tests.append(test)
        self._next.append(following)
        self._asserts.append(asserts)
        return len(self._tests) - 1

    def _lead(self, position: int, *following: int) -> None:
        self._next[position] = following


class _Reader:
    """Parser for one expression."""

    def __init__(self, expression: str, add: Callable[..., int], lead: Callable[..., None]) -> None:
        if len(expression) > EXPRESSION_LENGTH:
            raise InvalidRequest(_("The expressions are too long, or repeat too much."))
        self._flags = re.IGNORECASE if expression.startswith(_IGNORE_CASE) else re.NOFLAG
        self._tokens = _TOKEN.findall(expression.removeprefix(_IGNORE_CASE))
        self._add, self._lead = add, lead

    def part(self) -> _Part:
        """Parse all tokens and return the part they form."""
        part = self._branches()
        if self._tokens:
            raise _unreadable()
        return part

    def _branches(self) -> _Part:
        branches = [self._sequence()]
        while self._tokens[:1] == ["|"]:
            self._tokens.pop(0)
            branches.append(self._sequence())
        return lambda after: self._add(*(branch(after) for branch in branches))

    def _sequence(self) -> _Part:
        parts = list(self._pieces())

        def build(after: int) -> int:
            for part in reversed(parts):
                after = part(after)
            return after

        return build

    def _pieces(self) -> Iterator[_Part]:
        while self._tokens and self._tokens[0] not in ("|", ")"):
            piece = self._piece(self._tokens.pop(0))
            if self._tokens and (repeat := _REPEAT.match(self._tokens[0])):
                if self._tokens.pop(0) != repeat.group():
                    raise _refused()
                piece = self._repeated(piece, repeat)
            yield piece

    def _piece(self, sign: str) -> _Part:
        if sign in ("(", "(?:"):
            if self._tokens[:1] and self._tokens[0].startswith("?"):
                raise _refused()
            inner = self._branches()
            if not self._tokens:
                raise _unreadable()
            self._tokens.pop(0)
            return inner
        if sign in ("^", "$", r"\b"):
            return lambda after: self._add(after, asserts=sign)
        if _REPEAT.match(sign) or sign == "[":
            raise _unreadable()
        if sign.startswith("\\") and not _ESCAPE.fullmatch(sign):
            raise _refused()
        if sign.startswith("[") and _DOUBTFUL_SET.search(re.sub(r"\\.", "", sign[1:-1])):
            raise _unreadable()
        try:
            test = re.compile(sign, self._flags)
        except re.error as error:
            raise _unreadable() from error
        return lambda after: self._add(after, test=test)

    def _repeated(self, piece: _Part, repeat: re.Match[str]) -> _Part:
        sign, low, comma, high = repeat.groups()
        least = {"*": 0, "+": 1, "?": 0}[sign] if sign else int(low or 0)
        most = (1 if sign == "?" else None) if sign else int(high) if high else None if comma else least
        if most is not None and most < least:
            raise _unreadable()

        def build(after: int) -> int:
            if most is None:
                again = self._add()
                self._lead(again, piece(again), after)
                after = again
            else:
                out = after
                for _time in range(most - least):
                    after = self._add(piece(after), out)
            for _time in range(least):
                after = piece(after)
            return self._add(after)

        return build


def _kind(letter: str) -> str:
    return _IN_WORD if _WORD.match(letter) else _BETWEEN


def _holds(asserts: str, before: str, after: str) -> bool:
    if asserts == "^":
        return before == _EDGE
    if asserts == "$":
        return after == _EDGE
    return not asserts or (before == _IN_WORD) != (after == _IN_WORD)


def _unreadable() -> InvalidRequest:
    return InvalidRequest(_("This is not a regular expression."))


def _refused() -> InvalidRequest:
    return InvalidRequest(_("Look-around, back-references, possessive repeats and flags but (?i) first are not taken."))
