"""Flow collections of the YAML subset: `[a, b]` and `{a: 1}`, which may continue over lines until the bracket
closes.
"""

from __future__ import annotations

import re
from typing import Any, Callable

from skadi.yamlet_scalars import Quoted, YamlError, check_plain_start

MAX_DEPTH = 40
PLAIN_END = re.compile(r"[,\[\]{}]|:(?=[ ,\[\]{}]|\Z)| #|\Z")


class FlowReader:
    """Read one collection from a line and column. Afterwards `row` and `column` are behind its bracket."""

    def __init__(
        self, lines: list[str], row: int, column: int, resolve: Callable[[str, int], Any], new_map: Callable[[], Any]
    ) -> None:
        self.lines = lines
        self.row = row
        self.column = column
        self.resolve = resolve
        self.new_map = new_map
        self.first = row
        self.depth = 0

    def read(self) -> Any:
        """Return the map or list, up to its closing bracket. Raises YamlError."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} deep")
        value = self._map() if self._take() == "{" else self._list()
        self.depth -= 1
        return value

    def _error(self, message: str, hint: str = "") -> YamlError:
        return YamlError(self.row + 1, message, hint)

    def _take(self) -> str:
        char = self.lines[self.row][self.column]
        self.column += 1
        return char

    def _peek(self) -> str:
        """Return the next character that is not blank and not in a comment, on this or a later line."""
        while True:
            line = self.lines[self.row]
            while self.column < len(line) and line[self.column] == " ":
                self.column += 1
            at_comment = line[self.column : self.column + 1] == "#"
            if at_comment and self.column > 0 and line[self.column - 1] != " ":
                raise self._error("a comment needs a space before its #")
            if self.column < len(line) and not at_comment:
                return line[self.column]
            self.row += 1
            self.column = 0
            if self.row >= len(self.lines) or self.lines[self.row].startswith(("---", "...")):
                self.row = self.first
                raise self._error("a bracket that is never closed")

    def _list(self) -> list[Any]:
        items: list[Any] = []
        while self._peek() != "]":
            items.append(self._node())
            if self._peek() == ":":
                raise self._error("a key inside [..]", "write {key: value}")
            self._separator("]")
        self._take()
        return items

    def _map(self) -> Any:
        result = self.new_map()
        while self._peek() != "}":
            row = self.row
            if self._peek() in "[{":
                raise self._error("a list or map as a key")
            key = self._node(is_key=True)
            value = None
            if self._peek() == ":":
                if self.row != row:
                    raise self._error("a key and its colon must stand in one line")
                self._take()
                if self._peek() not in ",}":
                    value = self._node()
            if key in result:
                raise self._error(f"the key {key} stands here twice")
            result.lines[key] = row + 1
            result[key] = value
            self._separator("}")
        self._take()
        return result

    def _separator(self, closing: str) -> None:
        char = self._peek()
        if char == ",":
            self._take()
        elif char != closing:
            raise self._error(f"expected , or {closing} but found {char}", "quote a text with special characters")

    def _node(self, is_key: bool = False) -> Any:
        char = self._peek()
        if char in "[{":
            return self.read()
        if char in "\"'":
            quoted = Quoted(self.lines, self.row, self.column, 0)
            text = quoted.read()
            if is_key and quoted.line != self.row:
                raise self._error("a key over several lines")
            self.row, self.column = quoted.line, quoted.column
            return text
        line = self.lines[self.row]
        check_plain_start(line[self.column :], self.row + 1, flow=True)
        end = PLAIN_END.search(line, self.column)
        stop = end.start() if end else len(line)
        text = line[self.column : stop].rstrip(" ")
        if is_key and text == "<<":
            raise self._error("merge keys (<<) are not supported", "write the keys out")
        if "?" in text:
            # YAML 1.1 and 1.2 disagree about its meaning here.
            raise self._error("a ? inside brackets", "put the text in quotes")
        row = self.row
        self.column = stop
        if self._peek() not in ",]}:":
            raise self._error("a text over several lines inside brackets", "put it in quotes")
        return self.resolve(text, row + 1)
