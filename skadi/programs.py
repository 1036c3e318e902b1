"""Find values that would choose a program or become code, in the argument lists of programs that run others.

`programs.txt` is the table of such programs and explains its format. This module walks through the words of a template
from `skadi.yml`, as these programs read them: `sudo -u root env X=1 sh -c CODE` is four programs deep. An option that
the table does not have is read both ways, with and without a value. So a doubt becomes a refusal.
"""

from __future__ import annotations

import os.path
import pkgutil
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Mapping, Sequence

from skadi.template import Placeholder

VERSION = re.compile(r"(?:[-.]?[0-9]+)+\Z")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
MARKS = ":!=?@>*"
OPTION = re.compile(r"(.)([:!=?@>*]?)")
CHOOSES = "the value would choose the program"

Word = Sequence["str | Placeholder"]


@dataclass(frozen=True)
class Program:
    """A row of the table for one name. `short` and `long` map options to their marks."""

    name: str
    kind: str
    before: int
    short: Mapping[str, str]
    long: Mapping[str, str]


@dataclass(frozen=True)
class _State:
    """A way to read the words up to `index`. Without a program, the next word names one."""

    index: int
    program: Program | None = None
    kind: str = ""
    operands: int = 0
    ended: bool = False  # by `--`, or by an operand behind which no options are read

    def next(self, words: int = 1) -> _State:
        return replace(self, index=self.index + words)


class _Refused(Exception):
    """The text says why a value must not be here."""


@lru_cache(maxsize=1)
def table() -> Mapping[str, Program]:
    """Return all programs by their names."""
    found = {}
    data = pkgutil.get_data("skadi", "programs.txt") or b""
    for line in data.decode("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        names, operands, options = line.split(";")
        kind, _, before = operands.strip().partition(" ")
        letters, *words = options.split()
        short = dict(OPTION.findall("" if letters == "-" else letters))
        long = {word.rstrip(MARKS): word[-1] if word[-1] in MARKS else "" for word in words}
        for name in names.split(","):
            found[name.strip()] = Program(name.strip(), kind, int(before or 0), short, long)
    for name in list(found):
        for end in range(1, name.count(" ") + 1):
            above = " ".join(name.split()[:end])
            found.setdefault(above, Program(above, "sub", 0, {}, {}))
    return found


def find_program(word: str) -> Program | None:
    """Return the program that a word names, such as `python` for `/usr/bin/python3.11`, or None."""
    name = os.path.basename(word)
    return table().get(name) or table().get(VERSION.sub("", name))


@dataclass
class Walk:
    """The result for one argument list: the first reason to refuse it, or "", and the programs of the table in it.

    `unknown` is the index of a program or subcommand that the table does not have, if one was reached.
    """

    refusal: str = ""
    programs: list[str] = field(default_factory=list)
    unknown: int | None = None


def walk(words: Sequence[Word], options_allowed: bool = False) -> Walk:
    """Read the words as the programs in them would. `options_allowed` says that a value may begin with a dash."""
    return _Walker(words, options_allowed).walk()


def variable_refusal(word: Word) -> str:
    """Return why an assignment such as `NAME=%s` must not have its value, or ""."""
    head = _head(word)
    if _is_free(word) and (not ASSIGNMENT.match(head) or head.partition("=")[0] in table()["$"].long):
        return CHOOSES
    return ""


def _is_free(word: Word) -> bool:
    return any(isinstance(part, Placeholder) for part in word)


def _is_rest(word: Word) -> bool:
    """Return whether the word becomes any number of words."""
    return any(isinstance(part, Placeholder) and part.index == 0 for part in word)


def _head(word: Word) -> str:
    """Return the text before the first value."""
    head = ""
    for part in word:
        if isinstance(part, Placeholder):
            break
        head += part
    return head


class _Walker:
    def __init__(self, words: Sequence[Word], options_allowed: bool) -> None:
        self.words = words
        self.options_allowed = options_allowed
        self.result = Walk()

    def walk(self) -> Walk:
        waiting = [_State(0)]
        seen = set()
        try:
            while waiting:
                state = waiting.pop()
                if state.index < len(self.words) and (key := self._key(state)) not in seen:
                    seen.add(key)
                    waiting += self._step(state)
        except _Refused as refused:
            self.result.refusal = str(refused)
        return self.result

    @staticmethod
    def _key(state: _State) -> tuple[object, ...]:
        name = state.program.name if state.program else ""
        return (state.index, name, state.kind, state.operands, state.ended)

    def _step(self, state: _State) -> list[_State]:
        word = self.words[state.index]
        program = state.program
        if program is None:
            return self._name(state, word)
        head = _head(word)
        if not state.ended:
            if head == "-" and not _is_free(word) and state.kind in ("run", "in", "script"):
                return [state.next()]
            if head.startswith("-") and (head != "-" or _is_free(word)):
                return self._option(state, program, word, head)
            if head.startswith("+") and "+" in program.short:
                return self._valued(state, program, "!", word)
        return self._operand(state, program, word)

    def _name(self, state: _State, word: Word) -> list[_State]:
        if _is_free(word):
            raise _Refused(CHOOSES)
        program = find_program(_head(word))
        return self._enter(state, program)

    def _enter(self, state: _State, program: Program | None) -> list[_State]:
        """Go on behind the word that names a program or a subcommand."""
        if program is None:
            self.result.unknown = state.index
            return []
        self.result.programs.append(program.name)
        return [_State(state.index + 1, program, program.kind)]

    def _operand(self, state: _State, program: Program, word: Word) -> list[_State]:
        free, kind = _is_free(word), state.kind
        before = program.before if kind == program.kind else 0
        if kind == "plain":
            return [state.next()]
        if kind == "sub":
            if free:
                raise _Refused(f"the value would choose what {program.name} does")
            below = table().get(f"{program.name} {_head(word)}")
            return self._enter(state, below)
        if state.operands < before:
            if free and (kind == "in" or _is_rest(word) or self.options_allowed):
                raise _Refused(CHOOSES)
            return [replace(state.next(), operands=state.operands + 1)]
        if kind in ("run", "in"):
            if ASSIGNMENT.match(_head(word)):
                if variable_refusal(word):
                    raise _Refused(CHOOSES)
                return [state.next()]
            return [_State(state.index)]
        if free:
            raise _Refused(f"{program.name} would read the value as a program")
        if kind == "code":
            return [state.next()]
        return [replace(state.next(), kind="plain", ended=kind == "script")]

    def _option(self, state: _State, program: Program, word: Word, head: str) -> list[_State]:
        if head == "--" and not _is_free(word):
            return [replace(state.next(), ended=True)]
        name, equals, _ = head.lstrip("-").partition("=")
        if equals or not _is_free(word):
            marks = self._long_marks(program, name, head.startswith("--"))
            if marks:
                attached = word if equals else None
                return [found for mark in marks for found in self._valued(state, program, mark, attached)]
        if head.startswith("--"):
            if not equals and _is_free(word):
                raise _Refused(f"the value would choose an option of {program.name}")
            return self._unknown(state, attached=bool(equals))
        return self._letters(state, program, word, head[1:])

    @staticmethod
    def _long_marks(program: Program, name: str, may_be_short: bool) -> list[str]:
        """Return the marks of the options that a name means. GNU programs accept the beginning of a name."""
        if name in program.long:
            return [program.long[name]]
        return [mark for known, mark in program.long.items() if may_be_short and name and known.startswith(name)]

    def _letters(self, state: _State, program: Program, word: Word, letters: str) -> list[_State]:
        found = []
        for position, letter in enumerate(letters):
            last = position + 1 == len(letters) and not _is_free(word)
            mark = program.short.get(letter, "" if letter.isdigit() else None)
            if mark is None:
                found += self._unknown(state, attached=not last)
            elif mark == "*":
                state = replace(state, kind="code")
            elif mark:
                attached = None if last else word
                return found + self._valued(state, program, mark, attached)
        if _is_free(word):
            raise _Refused(f"the value would choose an option of {program.name}")
        return [*found, state.next()]

    @staticmethod
    def _unknown(state: _State, attached: bool) -> list[_State]:
        """Return both ways to read an option that the table does not have."""
        return [state.next()] if attached or state.kind == "plain" else [state.next(), state.next(2)]

    def _valued(self, state: _State, program: Program, mark: str, attached: Word | None) -> list[_State]:
        """Read an option by its mark. `attached` is the word if it holds the value too."""
        if mark in ("", "?"):
            return [state.next()]
        if mark == "*":
            return [replace(state.next(), kind="code")]
        if mark == "@":
            return [_State(state.index + 1)]
        following = self.words[state.index + 1 : state.index + 2]
        value = attached or (following[0] if following else ())
        if mark in "!=" and _is_free(value):
            raise _Refused(f"{program.name} would read the value as a program")
        if attached is None and _is_rest(value) and state.kind != "plain":
            raise _Refused(CHOOSES)
        behind = state.next(1 if attached else 2)
        if mark == ">":
            return [replace(behind, kind="run", operands=0)]
        return [replace(behind, kind="plain") if mark == "=" and state.kind in ("script", "first") else behind]
