"""The meaning of a local text for a shell: whether it needs one, where values may be, and which values are risky.

The texts come from skadi.yml only, never from a message.
"""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from typing import Sequence

from skadi.programs import walk
from skadi.shellwords import shell_refusal
from skadi.template import Placeholder, PlaceholderScanner, Template, TemplateError

SHELL_CHARACTERS = re.compile(r"[|&;<>()$`*?\[\]#~{}!\n]")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
BUILTINS = frozenset(
    [
        "cd",
        ".",
        "source",
        "export",
        "unset",
        "set",
        "ulimit",
        "umask",
        "exec",
        "eval",
        "trap",
        "if",
        "for",
        "while",
        "until",
        "case",
        "alias",
        "type",
    ]
)
COMMAND_FOLLOWS = frozenset(["then", "do", "else", "elif", "if", "while", "until", "!", "{", "time", "exec", "command"])
SHELLS = re.compile(r"(?:ba|da|a|z|k|mk|c|tc|fi)?sh\Z|busybox\Z|su\Z")
INTERPRETERS = re.compile(r"(?:python|perl|ruby|node|nodejs|php|lua|osascript|pwsh)[0-9.]*\Z")
PROGRAM_AS_TEXT = re.compile(r"(?:eval|ssh|[gmn]?awk|parallel|watch|xargs|tclsh|expect)\Z")
CODE_OPTION = re.compile(r"-[A-Za-z]*[cer]\Z|--(?:command|eval|run)\Z")


def needs_shell(text: str) -> bool:
    """Return whether a local command uses something that only a shell can do."""
    first = text.split(None, 1)[0] if text.split() else ""
    return bool(SHELL_CHARACTERS.search(text) or ASSIGNMENT.match(first) or first in BUILTINS)


def shell_operator(text: str) -> str:
    """Return the first unquoted character that a shell would act on, or ""."""
    quote = ""
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\" and quote != "'":
            position += 2
            continue
        if quote:
            if char == quote:
                quote = ""
            elif quote == '"' and char in "$`":
                return char
        elif char in "'\"":
            quote = char
        elif char in "|&;<>()$`\n" or (char == "~" and text[position - 1 : position] in ("", " ")):
            return char
        position += 1
    return ""


def value_becomes_code(words: Sequence[tuple[str | Placeholder, ...]], options_allowed: bool = False) -> str:
    """Return why a value in this argument list would run as code or as a program, or "".

    A value stays inside its word. That does not help if the word is a script, as in `sh -c`. `options_allowed` says
    that a value may begin with a dash.
    """
    found = walk(words, options_allowed)
    if found.refusal or found.unknown is None:
        return found.refusal
    return _unknown_runner(words[found.unknown :])


def _unknown_runner(words: Sequence[tuple[str | Placeholder, ...]]) -> str:
    """Return why a value would be code for a shell that a program runs which the table does not have, or ""."""
    program = ""
    option = False
    for word in words:
        placeholder = any(isinstance(part, Placeholder) for part in word)
        text = "".join(part for part in word if isinstance(part, str))
        name = os.path.basename(text)
        if placeholder and option:
            return f"{program} would read the value as a program"
        if not placeholder and (SHELLS.match(name) or INTERPRETERS.match(name)):
            program, option = name, False
        elif program and CODE_OPTION.match(text):
            option = True
    return ""


@dataclass(frozen=True)
class ShellTemplate(Template):
    """A template that becomes a script and its parameters. A part is text, or a placeholder and its quote."""

    parts: tuple[str | tuple[Placeholder, str], ...] = ()

    def fill(self, values: Sequence[str]) -> list[str]:
        return ["/bin/sh", "-c", self.script(len(values)), "sh", *values]

    def script(self, number: int) -> str:
        """Return the script for a number of values. It does not depend on the values themselves."""
        text = ""
        for part in self.parts:
            if isinstance(part, str):
                text += part
                continue
            placeholder, quote = part
            rest = range(self.least + 1, number + 1)
            names = [f"${{{index}}}" for index in ([placeholder.index] if placeholder.index else rest)]
            if quote == '"':
                text += " ".join(names)
            elif quote == "'":
                text += "'\"{}\"'".format(" ".join(names))
            else:
                text += " ".join(f'"{name}"' for name in names)
        return text


def parse_shell(text: str) -> ShellTemplate:
    """Parse a template for a shell. Raises TemplateError if a value could become part of the script.

    The scanner follows quotes. Everything that it cannot follow (substitutions, here-documents, comments, `eval`) is
    refused.
    """
    scanner = PlaceholderScanner()
    parts: list[str | tuple[Placeholder, str]] = []
    literal = ""
    quote = ""
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\" and quote != "'":
            literal += text[position : position + 2]
            position += 2
            continue
        found = scanner.at(text, position)
        if found is not None:
            item, position = found
            if isinstance(item, str):
                literal += item
            else:
                parts += [literal, (item, quote)]
                literal = ""
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        literal += char
        position += 1
    parts.append(literal)
    if quote:
        raise TemplateError(f"a quote {quote} is not closed")
    if scanner.placeholders:
        _refuse_unfollowed(text, parts)
    return ShellTemplate(placeholders=tuple(scanner.placeholders), parts=tuple(part for part in parts if part))


def _refuse_unfollowed(text: str, parts: Sequence[str | tuple[Placeholder, str]]) -> None:
    for mark, name in (
        ("`", "backquotes"),
        ("$(", "$(...)"),
        ("${", "${...}"),
        ("$'", "$'...'"),
        ("<<", "a here-document"),
    ):
        if mark in text:
            raise TemplateError(f"values together with {name} in a shell text are not supported; use a script file")
    if re.search(r"(?:\A|[\s;&|()])#", text):
        raise TemplateError("values together with a # comment in a shell text are not supported")
    before = ""
    for part in parts:
        if isinstance(part, str):
            before += part
            continue
        if not re.search(r"[^\s'\"]", before):
            raise TemplateError("the value would choose the program")
        word = re.split(r"[\s]+", before.rstrip("'\""))
        last = word[-2] if len(word) > 1 else ""
        if word[-1] == "" and (
            last in COMMAND_FOLLOWS or re.search(r"[;&|({]\Z", last) or before.rstrip(" '\"").endswith("\n")
        ):
            raise TemplateError("the value would choose the program")
        if re.search(r"[;&|(]\Z", word[-1]) and not re.search(r">[&|]\Z", word[-1]):
            raise TemplateError("the value would choose the program")
        before += "x"


def shell_runs_code(template: ShellTemplate, text: str, options_allowed: bool = False) -> str:
    """Return why a shell text hands its values to another program as code, or "". A false alarm is better than a
    miss.
    """
    refusal = shell_refusal(text, template.parts, options_allowed)
    if refusal:
        return refusal
    program = ""
    for word in re.split(r"[\s;&|()'\"]+", text):
        name = os.path.basename(word)
        if PROGRAM_AS_TEXT.match(name) or name in (".", "source"):
            return f"{name} would read the value as a program"
        if SHELLS.match(name) or INTERPRETERS.match(name):
            program = name
        elif program and CODE_OPTION.match(word):
            return f"{program} would read the value as a program"
    return ""
