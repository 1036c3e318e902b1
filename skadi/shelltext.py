"""What a local text would mean to a shell: whether it needs one, where values may stand in it, what is risky.

The texts looked at here come from skadi.yml only, never from a message.
"""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from typing import Sequence

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
WRAPPERS = re.compile(
    r"(?:env|sudo|doas|nohup|nice|ionice|timeout|time|setsid|stdbuf|chroot|exec|command|systemd-run)\Z"
)
BEFORE_PROGRAM = re.compile(r"-|[A-Za-z_][A-Za-z0-9_]*=|[0-9.]+[smhd]?\Z")
CODE_OPTION = re.compile(r"-[A-Za-z]*[cer]\Z|--(?:command|eval|run)\Z")


def needs_shell(text: str) -> bool:
    """Whether a fixed local command means something that only a shell can do."""
    first = text.split(None, 1)[0] if text.split() else ""
    return bool(SHELL_CHARACTERS.search(text) or ASSIGNMENT.match(first) or first in BUILTINS)


def shell_operator(text: str) -> str:
    """The first character outside of quotes that a shell would act on; empty when there is none."""
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


def value_becomes_code(words: Sequence[tuple[str | Placeholder, ...]]) -> str:
    """Why a value of this argument list would be run as code or as a program, or an empty text.

    Splitting first keeps a value inside its word, which does not help when the word is a program for `sh -c`.
    """
    program = ""
    option = False
    choosing = True  # until the word that names the program, behind `sudo -n env X=1` and the like
    for word in words:
        placeholder = any(isinstance(part, Placeholder) for part in word)
        text = "".join(part for part in word if isinstance(part, str))
        name = os.path.basename(text)
        if placeholder and choosing:
            return "the value would choose the program"
        choosing = choosing and bool(WRAPPERS.match(name) or BEFORE_PROGRAM.match(text))
        if placeholder and (option or PROGRAM_AS_TEXT.match(program)):
            return f"{program} would read the value as a program"
        if not placeholder and (SHELLS.match(name) or INTERPRETERS.match(name) or PROGRAM_AS_TEXT.match(name)):
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
        """The script for a number of values: it depends on nothing else of them."""
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
    """A template for a shell. Raises TemplateError where a value could not be kept out of the script.

    A scanner follows the quotes; whatever it does not follow (substitutions, here-documents, comments, `eval`) is
    refused, so that it never has to be right about it.
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


def shell_runs_code(text: str) -> str:
    """Why a shell text hands its values to another interpreter, or an empty text; rather too often than too rarely."""
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
