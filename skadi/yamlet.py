"""A strict parser for the part of YAML that skadi.yml needs; the agent has no third-party import.

It reads block maps and lists, flow `[..]` and `{..}`, plain and quoted scalars, `|` and `>` blocks, and comments. Tabs,
anchors, aliases, tags, merge keys, several documents and duplicate keys are refused with the line and a hint. Accepted
text means the same as in YAML 1.2 (core schema); a test compares the results with PyYAML's.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict

from skadi.yamlet_flow import FlowReader
from skadi.yamlet_scalars import Quoted, YamlError, check_plain_start, core_type, join_block, text_or_null

__all__ = ["Map", "YamlError", "load"]

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 40
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
HEADER = re.compile(r"[|>](?:([+-])([1-9])?|([1-9])([+-])?)?(?: +(?:#.*)?)?\Z")


class Map(Dict[Any, Any]):
    """A mapping that remembers the line of each key, for error messages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Any, int] = {}


def load(text: str, typed: bool = True) -> Any:
    """Parse one document. With typed=False plain scalars stay text, and null is None. Raises YamlError."""
    return _Reader(text, core_type if typed else text_or_null).document()


def _split_lines(text: str) -> list[str]:
    if len(text) > MAX_CHARACTERS:
        raise YamlError(1, f"the file is longer than {MAX_CHARACTERS} characters")
    if text.startswith("\ufeff"):
        text = text[1:]
    lines = text.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            before = line.partition("\t")[0]
            if not (before.strip(" ") == "" and line.strip() == "") and not re.search(r"(?:^|\s)#", before):
                raise YamlError(number, "a tab", 'indent with spaces; inside "..." write \\t')
            lines[number - 1] = line.replace("\t", " ") if before.strip(" ") else ""
        found = CONTROL.search(line)
        if found:
            raise YamlError(
                number, f"the character U+{ord(found.group()):04X}", 'inside "..." it can be written as \\u'
            )
    return lines


class _Reader:
    """A recursive descent parser over lines. `row` is the next unread line."""

    def __init__(self, text: str, resolve: Callable[[str, int], Any]) -> None:
        self.lines = _split_lines(text)
        self.resolve = resolve
        self.row = 0
        self.depth = 0

    def document(self) -> Any:
        """Return the only document of the text. Raises YamlError."""
        self._skip_blank()
        if self.row < len(self.lines) and self.lines[self.row].startswith("%"):
            raise self._error("directives (%) are not supported")
        if self.row < len(self.lines) and self.lines[self.row].startswith("..."):
            raise self._error("the document ends before it begins")
        if self.row < len(self.lines) and re.match(r"---(?: +#.*| *)\Z", self.lines[self.row]):
            self.row += 1
        value = self._block(0, -1)
        self._skip_blank()
        if self.row < len(self.lines) and re.match(r"\.\.\.(?: +#.*| *)\Z", self.lines[self.row]):
            self.row += 1
            self._skip_blank()
        if self.row < len(self.lines):
            if self.lines[self.row].startswith("---"):
                raise self._error("several documents in one file are not supported")
            raise self._error("this does not belong to anything", "check the indentation")
        return value

    def _error(self, message: str, hint: str = "") -> YamlError:
        return YamlError(min(self.row, len(self.lines) - 1) + 1, message, hint)

    def _skip_blank(self) -> None:
        while self.row < len(self.lines) and re.match(r" *(?:#.*)?\Z", self.lines[self.row]):
            self.row += 1

    def _indent(self) -> int:
        """Return the indentation of the next line with content; -1 at the end of the document."""
        self._skip_blank()
        if self.row >= len(self.lines):
            return -1
        line = self.lines[self.row]
        if line.startswith(("---", "...")) and line[3:4] in ("", " "):
            return -1
        return len(line) - len(line.lstrip(" "))

    def _block(self, min_indent: int, parent: int) -> Any:
        """Return the node on the next lines; None if they are indented by less than `min_indent`."""
        indent = self._indent()
        if indent < min_indent or indent < 0:
            return None
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} deep")
        line = self.lines[self.row]
        if self._is_item(line, indent):
            value: Any = self._list(indent)
        elif self._key_end(line, indent) is not None:
            value = self._map(indent)
        else:
            value = self._inline(indent, parent)
        self.depth -= 1
        return value

    @staticmethod
    def _is_item(line: str, indent: int) -> bool:
        return line[indent] == "-" and line[indent + 1 : indent + 2] in ("", " ")

    def _list(self, indent: int) -> list[Any]:
        items: list[Any] = []
        while self._indent() == indent and self._is_item(self.lines[self.row], indent):
            line = self.lines[self.row]
            rest = line[indent + 1 :].lstrip(" ")
            if not rest or rest.startswith("#"):
                self.row += 1
                items.append(self._block(indent + 1, indent))
                continue
            column = len(line) - len(rest)
            if self._is_item(line, column) or self._key_end(line, column) is not None:
                # A list or map begins behind the dash: read it as if the dash were a space.
                self.lines[self.row] = " " * column + rest
                items.append(self._block(indent + 1, indent))
            else:
                items.append(self._inline(column, indent))
        return items

    def _map(self, indent: int) -> Map:
        result = Map()
        while self._indent() == indent:
            line = self.lines[self.row]
            if self._is_item(line, indent):
                raise self._error("a list item where a key is expected", "check the indentation")
            end = self._key_end(line, indent)
            if end is None:
                raise self._error("expected `key: value`", "a text that goes on must be indented or quoted")
            key = self._key(line[indent:end], indent)
            if key in result:
                raise self._error(f"the key {line[indent:end].strip()} stands here twice")
            result.lines[key] = self.row + 1
            result[key] = self._value(line, end + 1, indent)
        if self._indent() > indent:
            raise self._error("unexpected indentation", "keys of one map start in the same column")
        return result

    def _value(self, line: str, column: int, indent: int) -> Any:
        rest = line[column:].lstrip(" ")
        if rest and not rest.startswith("#"):
            return self._inline(len(line) - len(rest), indent)
        self.row += 1
        following = self._indent()
        if following == indent and self._is_item(self.lines[self.row], indent):
            return self._block(indent, indent)  # a list may have the column of its key
        return self._block(indent + 1, indent)

    def _key(self, text: str, indent: int) -> Any:
        text = text.rstrip(" ")
        if text[:1] in ('"', "'"):
            return Quoted([text], 0, 0, 0).read()
        if text == "<<":
            raise self._error("merge keys (<<) are not supported", "write the keys out")
        check_plain_start(text, self.row + 1, flow=False)
        return self.resolve(text, self.row + 1)

    def _key_end(self, line: str, column: int) -> int | None:
        """Return the column of the colon if a key begins at `column`, else None."""
        first = line[column]
        if first in "[{":
            return None
        if first in "\"'":
            quoted = Quoted([line], 0, column, 0)
            try:
                quoted.read()
            except YamlError:
                return None  # it continues on the next line, so it is a text
            after = line[quoted.column :]
            end = len(line) - len(after.lstrip(" "))
            return end if re.match(r" *:(?: |\Z)", after) else None
        if first == ":" and line[column + 1 : column + 2] in ("", " "):
            raise self._error("a key is missing before the colon")
        found = re.compile(r"(:(?= |\Z))| #").search(line, column)
        return found.start() if found and found.group(1) else None

    def _inline(self, column: int, parent: int) -> Any:
        """Return a scalar or flow collection that begins in this line."""
        line = self.lines[self.row]
        first = line[column]
        if first in "|>":
            return self._literal(line[column:], parent)
        if first in "\"'":
            quoted = Quoted(self.lines, self.row, column, parent + 1)
            text = quoted.read()
            self._end_of_line(quoted.line, quoted.column)
            return text
        if first in "[{":
            reader = FlowReader(self.lines, self.row, column, self.resolve, Map)
            value = reader.read()
            self._end_of_line(reader.row, reader.column)
            return value
        return self._plain(column, parent)

    def _end_of_line(self, row: int, column: int) -> None:
        rest = self.lines[row][column:]
        if not re.match(r"(?: +#.*| *)\Z", rest):
            self.row = row
            raise self._error(f"unexpected text after the value: {rest.strip()[:20]}", "quote the whole value")
        self.row = row + 1

    def _plain(self, column: int, parent: int) -> Any:
        first_row = self.row
        line = self.lines[self.row]
        check_plain_start(line[column:], self.row + 1, flow=False)
        text, ended = self._plain_part(line[column:])
        self.row += 1
        breaks = 0
        while not ended and self.row < len(self.lines):
            line = self.lines[self.row]
            stripped = line.lstrip(" ")
            if not stripped:
                breaks += 1
                self.row += 1
                continue
            if len(line) - len(stripped) <= parent or stripped.startswith("#"):
                break
            if line.startswith(("---", "...")) and line[3:4] in ("", " "):
                break
            part, ended = self._plain_part(stripped)
            text += ("\n" * breaks if breaks else " ") + part
            breaks = 0
            self.row += 1
        return self.resolve(text, first_row + 1)

    def _plain_part(self, text: str) -> tuple[str, bool]:
        """Return the part before a comment, and whether a comment ended the scalar."""
        part, comment, _ = text.partition(" #")
        if re.search(r":(?: |\Z)", part.rstrip(" ")):
            raise self._error("a second `: ` in one line", "put the value in quotes")
        return part.rstrip(" "), bool(comment)

    def _literal(self, header: str, parent: int) -> str:
        """Read a `|` or `>` block. The folding rules are those of the YAML specification, 8.1.3."""
        match = HEADER.match(header)
        if not match:
            raise self._error("a block text begins with | or > and nothing else in its line", "put the text in quotes")
        chomp = match.group(1) or match.group(4) or ""
        given = match.group(2) or match.group(3)
        self.row += 1
        indent = max(parent + 1, 1) + int(given) - 1 if given else self._literal_indent(max(parent + 1, 1))
        rows: list[str] = []
        while self.row < len(self.lines):
            line = self.lines[self.row]
            if line.strip(" ") and len(line) - len(line.lstrip(" ")) < indent:
                break
            if self.row == len(self.lines) - 1 and not line[indent:]:
                self.row += 1  # there is no line after the last line break
                break
            rows.append(line[indent:])
            self.row += 1
        cut = bool(rows) and self.row == len(self.lines) and rows[-1] == self.lines[-1][indent:] != ""
        text = join_block(rows, chomp, folded=header[0] == ">")
        return text[:-1] if cut and chomp != "-" else text  # the file ends without a line break

    def _literal_indent(self, minimum: int) -> int:
        blank = 0
        for row in range(self.row, len(self.lines)):
            line = self.lines[row]
            stripped = line.lstrip(" ")
            if stripped:
                indent = max(len(line) - len(stripped), minimum)
                if blank > indent:
                    raise YamlError(row + 1, "an empty line above is indented further than the text")
                return indent
            blank = max(blank, len(line))
        return max(blank, minimum)
