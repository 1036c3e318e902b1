"""Scalars of the YAML subset: plain words, quoted text, and the error that names the line."""

from __future__ import annotations

import re
from typing import Any

NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
TRUE = re.compile(r"(?:true|True|TRUE)\Z")
FALSE = re.compile(r"(?:false|False|FALSE)\Z")
INTEGER = re.compile(r"[-+]?[0-9]+\Z")
OCTAL = re.compile(r"0o[0-7]+\Z")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+\Z")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
NOT_A_NUMBER = re.compile(r"\.(?:nan|NaN|NAN)\Z")
MAX_DIGITS = 4000  # newer Pythons convert no longer number

ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b", " ": " ",
    '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}


class YamlError(ValueError):
    """The document is outside of the subset. `line` counts from 1."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__("line {}: {}{}".format(line, message, f" ({hint})" if hint else ""))
        self.line = line
        self.message = message
        self.hint = hint


def core_type(text: str, line: int) -> Any:
    """Return the value of a plain scalar by the YAML 1.2 core schema. The words yes, no, on and off stay text."""
    if NULL.match(text):
        return None
    if TRUE.match(text):
        return True
    if FALSE.match(text):
        return False
    if len(text) > MAX_DIGITS and (INTEGER.match(text) or FLOAT.match(text)):
        raise YamlError(line, f"number with more than {MAX_DIGITS} digits", "put it in quotes")
    if INTEGER.match(text):
        return int(text)
    if OCTAL.match(text):
        return int(text[2:], 8)
    if HEXADECIMAL.match(text):
        return int(text[2:], 16)
    if FLOAT.match(text):
        return float(text)
    if INFINITY.match(text):
        return float(text.replace(".", "").lower())
    if NOT_A_NUMBER.match(text):
        return float("nan")
    return text


def text_or_null(text: str, line: int) -> Any:
    """Return a plain scalar as written, so that a key that wants text gets `007`, not 7."""
    return None if NULL.match(text) else text


class Quoted:
    """Read one quoted scalar that starts at a column of a line and may continue over the next lines.

    After `read`, `line` and `column` are behind the closing quote. Lines are joined as YAML folds them: one line break
    becomes a space, n empty lines become n line breaks.
    """

    def __init__(self, lines: list[str], line: int, column: int, min_indent: int) -> None:
        self.lines = lines
        self.line = line
        self.column = column + 1
        self.first = line
        self.quote = lines[line][column]
        self.min_indent = min_indent

    def read(self) -> str:
        """Return the text, up to its closing quote. Raises YamlError."""
        # Literal blanks at the end of a line are stripped, escaped ones are not: the first `kept` characters stay.
        text = ""
        kept = 0
        while True:
            line = self.lines[self.line]
            if self.column >= len(line):
                text = text[:kept] + text[kept:].rstrip(" ") + self._fold()
                kept = len(text)
                continue
            char = line[self.column]
            if char == self.quote:
                if self.quote == "'" and line[self.column + 1 : self.column + 2] == "'":
                    text += "'"
                    self.column += 2
                    continue
                self.column += 1
                return text
            if char == "\\" and self.quote == '"':
                if self.column == len(line) - 1:  # an escaped line break joins without a space
                    text += self._fold(escaped=True)
                else:
                    text += self._escape(line)
                kept = len(text)
                continue
            text += char
            self.column += 1

    def _fold(self, escaped: bool = False) -> str:
        breaks = 0
        while True:
            self.line += 1
            if self.line >= len(self.lines):
                raise YamlError(self.first + 1, f"a quoted text without its closing {self.quote}")
            line = self.lines[self.line]
            stripped = line.lstrip(" ")
            if stripped:
                break
            breaks += 1
        self.column = len(line) - len(stripped)
        if self.column < self.min_indent or line.startswith(("---", "...")):
            raise YamlError(
                self.first + 1, f"a quoted text without its closing {self.quote}", "its next lines must be indented"
            )
        return "\n" * breaks if breaks or escaped else " "

    def _escape(self, line: str) -> str:
        code = line[self.column + 1]
        self.column += 2
        if code in ESCAPES:
            return ESCAPES[code]
        if code not in HEX_ESCAPES:
            raise YamlError(self.line + 1, f"unknown escape \\{code}", "write \\\\ for a backslash, or use '...'")
        digits = line[self.column : self.column + HEX_ESCAPES[code]]
        self.column += HEX_ESCAPES[code]
        if not re.match(rf"[0-9a-fA-F]{{{HEX_ESCAPES[code]}}}\Z", digits):
            raise YamlError(self.line + 1, f"\\{code} needs {HEX_ESCAPES[code]} hexadecimal digits")
        number = int(digits, 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise YamlError(self.line + 1, f"\\{code}{digits} is not a character")
        return chr(number)


def check_plain_start(text: str, line: int, flow: bool) -> None:
    """Raise YamlError for text that a plain scalar cannot begin with, and name what the writer probably meant."""
    first, second = text[:1], text[1:2]
    names = {"&": "anchors", "*": "aliases", "!": "tags"}
    if first in names:
        raise YamlError(line, f"{names[first]} ({first}) are not supported", "put the text in quotes")
    if first in ("%", "@", "`", ",", "]", "}", "|", ">", "[", "{", "#", '"', "'"):
        raise YamlError(line, f"a plain text cannot begin with {first}", "put the text in quotes")
    if first == "?" and (flow or second in ("", " ")):
        raise YamlError(line, "explicit keys (?) are not supported", "write key: value")
    if first in ("-", ":") and (second in ("", " ") or (flow and (first == ":" or second in ",[]{}"))):
        raise YamlError(line, f"{first} does not fit here", "put the text in quotes")


def join_block(rows: list[str], chomp: str, folded: bool) -> str:
    """Join the lines of a block text. `chomp` is "-", "+" or "", for the line breaks at its end."""
    content = len(rows)
    while content and not rows[content - 1]:
        content -= 1
    text = ""
    position = 0
    while position < content and not rows[position]:
        text += "\n"
        position += 1
    while position < content:
        line = rows[position]
        text += line
        following = position + 1
        while following < content and not rows[following]:
            following += 1
        if following < content:
            empty = following - position - 1
            plain = folded and line[:1] != " " and rows[following][:1] != " "
            text += ("\n" * empty if empty else " ") if plain else "\n" * (empty + 1)
        position = following
    if chomp == "-":
        return text if content else ""
    if chomp == "+":
        return text + "\n" * (len(rows) - content + (1 if content else 0))
    return text + "\n" if content else ""
