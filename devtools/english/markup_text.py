"""The paragraphs of Markdown documents, the translatable sentences of templates, the comments of scripts and styles."""

from __future__ import annotations

import re
from collections.abc import Iterator

from devtools.english.paragraphs import Kind, Paragraph

_FENCE = re.compile(r"\s*(```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_SKIPPED = re.compile(r"\s*(#|<|!\[|\[[^\]]+\]:|[-=|: ]+$)")
_SCRIPT_COMMENT = re.compile(r"(?:^|(?<=\s))(?:/\*.*?\*/|(?://[^\n]*(?:\n[ \t]*(?=//))?)+)", re.DOTALL)
_COMMENT_EDGE = re.compile(r"^\s*(?:/\*+|//+|\*(?!/))?\s*|\s*\*+/$")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_TAG = re.compile(
    r"\{%-?\s*(?:trans|translate)\s+(?P<quote>[\"'])(?P<text>.*?)(?P=quote)"
    r"|\{%-?\s*(?:blocktrans|blocktranslate)\b[^%]*%\}(?P<block>.*?)\{%-?\s*endblock",
    re.DOTALL,
)


def markdown_paragraphs(path: str, source: str) -> Iterator[Paragraph]:
    """Yield paragraphs, list items and table cells; headings, code and HTML are left out."""
    block: list[tuple[int, str]] = []
    kind, fenced = Kind.PROSE, False
    for number, row in enumerate([*source.splitlines(), ""], 1):
        is_fence, is_table, item = _FENCE.match(row), row.lstrip().startswith("|"), _ITEM.match(row)
        ends = fenced or is_fence or is_table or item or not row.strip() or _SKIPPED.match(row)
        if ends and block:
            yield Paragraph(path=path, kind=kind, lines=tuple(block))
            block, kind = [], Kind.PROSE
        if is_fence:
            fenced = not fenced
        elif fenced:
            continue
        elif is_table:
            for cell in _CELL_BORDER.split(row):
                yield Paragraph(path=path, kind=Kind.CELL, lines=((number, _plain(cell)),))
        elif item:
            block, kind = [(number, _plain(row[item.end() :]))], Kind.ITEM
        elif not ends and (block or not row.startswith("    ")):
            block.append((number, _plain(row)))


def template_paragraphs(path: str, source: str) -> Iterator[Paragraph]:
    """Yield what {% trans %} and {% blocktrans %} translate; a variable stands for one word."""
    for found in _TAG.finditer(source):
        line = source.count("\n", 0, found.start()) + 1
        text = found["text"] if found["block"] is None else found["block"]
        for piece in re.split(r"\{%-?\s*plural\s*-?%\}", text):
            yield Paragraph(path=path, kind=Kind.MESSAGE, lines=((line, " ".join(piece.split())),))


def script_paragraphs(path: str, source: str) -> Iterator[Paragraph]:
    """Yield the comments of JavaScript or CSS: a block, or lines of `//` below each other."""
    for found in _SCRIPT_COMMENT.finditer(source):
        first = source.count("\n", 0, found.start()) + 1
        rows = [_COMMENT_EDGE.sub("", row) for row in found.group().splitlines()]
        yield Paragraph(path=path, kind=Kind.COMMENT, lines=tuple(enumerate(rows, first)))


def _plain(row: str) -> str:
    """Return the row without emphasis, and with links reduced to their words."""
    return _LINK.sub(r"\1", row).replace("**", "").replace("__", "")
