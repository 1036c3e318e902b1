"""Split a shell text of skadi.yml into the argument lists of its commands, for the check of its values.

It follows quotes, operators, reserved words and redirections. A variable that the text itself sets counts as a value,
because a value may be in it.
"""

from __future__ import annotations

import re
from typing import List, Sequence, Tuple, Union

from skadi.programs import ASSIGNMENT, CHOOSES, variable_refusal, walk
from skadi.template import Placeholder

RESERVED = frozenset(["then", "do", "else", "elif", "if", "while", "until", "!", "{", "}", "fi", "done", "esac"])
ASSIGNING = frozenset(["export", "declare", "typeset", "readonly", "local"])
SETS = re.compile(r"(?:\A|[\s;&|({'\"])([A-Za-z_][A-Za-z0-9_]*)=|\b(?:for|read|getopts)\s+(?:-\S+\s+)*([A-Za-z_]\w*)")
VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*])")

Part = Union[str, Tuple[Placeholder, str]]
Words = List[List[Union[str, Placeholder]]]


def shell_refusal(text: str, parts: Sequence[Part], options_allowed: bool) -> str:
    """Return why a value in this shell text would choose a program or become code, or "".

    `options_allowed` says that a value may begin with a dash.
    """
    for words in split_commands(text, parts):
        while words and (words[0] == [] or _literal(words[0]) in RESERVED or ASSIGNMENT.match(_start(words[0]))):
            found = variable_refusal(words[0]) if ASSIGNMENT.match(_start(words[0])) else ""
            if found:
                return found
            words = words[1:]
        if words and _literal(words[0]) in ASSIGNING:
            if any(variable_refusal(word) for word in words[1:]):
                return CHOOSES
        elif words:
            refusal = walk(words, options_allowed).refusal
            if refusal:
                return refusal
    return ""


def split_commands(text: str, parts: Sequence[Part]) -> list[Words]:
    """Return the commands of a text that `parse_shell` has split into parts."""
    variables = {name for found in SETS.findall(text) for name in found if name} | set("0123456789@*")
    splitter = _Splitter(variables)
    for part in parts:
        if isinstance(part, str):
            splitter.read(part)
        else:
            splitter.add(part[0])
    splitter.end_command()
    return splitter.commands


def _start(word: Sequence[str | Placeholder]) -> str:
    return word[0] if word and isinstance(word[0], str) else ""


def _literal(word: Sequence[str | Placeholder]) -> str:
    return _start(word) if len(word) == 1 else ""


class _Splitter:
    def __init__(self, variables: set[str]) -> None:
        self.variables = variables
        self.commands: list[Words] = []
        self.words: Words = []
        self.word: list[str | Placeholder] | None = None
        self.quote = ""
        self.redirected = False  # the next word is the file of a redirection

    def add(self, part: str | Placeholder) -> None:
        """Add a part to the current word, and join texts."""
        self.word = [] if self.word is None else self.word
        if isinstance(part, str) and self.word and isinstance(self.word[-1], str):
            self.word[-1] += part
        else:
            self.word.append(part)

    def read(self, text: str) -> None:
        """Read a literal part of the text."""
        position = 0
        while position < len(text):
            char = text[position]
            variable = VARIABLE.match(text, position) if self.quote != "'" else None
            if char == "\\" and self.quote != "'":
                self.add(text[position + 1 : position + 2])
                position += 2
                continue
            if variable and variable.group(1) in self.variables:
                self.add(Placeholder(1))
                position = variable.end()
                continue
            position += 1
            if char == self.quote:
                self.quote = ""
            elif self.quote:
                self.add(char)
            else:
                self._plain(char)

    def _plain(self, char: str) -> None:
        if char in "'\"":
            self.quote = char
            self.add("")
        elif char in "<>":
            if _literal(self.word or []).isdigit():
                self.word = None
            self._end_word()
            self.redirected = True
        elif char in "&|" and self.redirected and self.word is None:
            return  # a part of `>&` or `>|`
        elif char in ";&|\n()":
            self.end_command()
        elif char in " \t\r":
            self._end_word()
        else:
            self.add(char)

    def _end_word(self) -> None:
        if self.word is None:
            return
        if not self.redirected:
            self.words.append(self.word)
        self.word, self.redirected = None, False

    def end_command(self) -> None:
        """End the current word and command."""
        self._end_word()
        self.redirected = False
        if self.words:
            self.commands.append(self.words)
        self.words = []
