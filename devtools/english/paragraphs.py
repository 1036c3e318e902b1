"""A paragraph of English with its line numbers, and the sentences in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_CODE = re.compile(r"(`+)(?:(?!\1).)+\1|https?://\S+|<[^<> ][^<>]*>|\{\{.*?\}\}|\{%.*?%\}")
_BOUNDARY = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+(?=[\"'(`\[*_]*[A-Z0-9`])|(?<=[。！？])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|approx|incl|resp|Mr|Dr|St|No|Fig)\.$")
_ENDED = re.compile(r"[.!?][\"')\]*_]*$")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
_CHINESE = re.compile(r"[\u3400-\u9fff]")


class Kind(Enum):
    """The source of a paragraph. A label may be a mere noun phrase: only what ends like a sentence is one."""

    DOCSTRING = "docstring"
    COMMENT = "comment"
    PROSE = "prose"
    ITEM = "item"
    CELL = "cell"
    MESSAGE = "message"


LABELS = frozenset({Kind.ITEM, Kind.CELL, Kind.MESSAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """`text` as it was written; `masked` has the same length, with X in place of code and links."""

    path: str
    line: int
    kind: Kind
    text: str
    masked: str

    @property
    def words(self) -> int:
        """Return how many English words it has; code counts as one word."""
        return len(_WORD.findall(self.masked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Lines that belong together, each with its number in the file."""

    path: str
    kind: Kind
    lines: tuple[tuple[int, str], ...]

    def sentences(self) -> Iterator[Sentence]:
        """Yield the English sentences: three words or more, and for a label also a full stop at the end."""
        text, starts = self._joined()
        masked = _CODE.sub(lambda found: "`" + "X" * (len(found.group()) - 2) + "`", text)
        for begin, end in _pieces(masked):
            piece = masked[begin:end]
            sentence = Sentence(
                path=self.path,
                line=max(number for offset, number in starts if offset <= begin),
                kind=self.kind,
                text=text[begin:end],
                masked=piece,
            )
            if _CHINESE.search(piece) or sentence.words < 3 or (self.kind in LABELS and not _ENDED.search(piece)):
                continue
            yield sentence

    def _joined(self) -> tuple[str, list[tuple[int, int]]]:
        """Return the text on one line, and for each line the offset where it begins and its number."""
        text, starts = "", []
        for number, line in self.lines:
            stripped = line.strip()
            if stripped:
                text += " " if text else ""
                starts.append((len(text), number))
                text += stripped
        return text, starts


def _pieces(masked: str) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of each sentence."""
    begin = 0
    for boundary in _BOUNDARY.finditer(masked):
        if _ABBREVIATION.search(masked[begin : boundary.start()]):
            continue
        yield begin, boundary.start() + len(boundary.group().rstrip())
        begin = boundary.end()
    if masked[begin:].strip():
        yield begin, len(masked)
