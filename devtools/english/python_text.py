"""The paragraphs of a Python file: docstrings, comments, and texts that are written like a sentence."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from devtools.english.paragraphs import Kind, Paragraph

_GETTEXT = re.compile(r"_|n?p?gettext(_lazy|_noop)?")
_SENTENCE_START = re.compile(r"[A-Z`]")
# The strings of a test are its data.
_DATA = "tests/"
_DIRECTIVE = re.compile(
    r"!|-\*-|noqa\b|type:|pragma\b|fmt:|ruff:|mypy:|nosec\b|pylint:|isort:|pyright:|translators:", re.I
)
_ITEM = re.compile(r"(?:[-*•+]|\d+[.)])\s+")
_FIELD = re.compile(r":[a-z]+[^:`]*:(?!`)\s*")
_RULE = re.compile(r"^[\W_]*$")


def python_paragraphs(path: str, source: str) -> Iterator[Paragraph]:
    """Yield every paragraph of the file, docstrings first. A file that does not parse has none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    docstrings: set[ast.Constant] = set()
    messages: set[ast.Constant] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text)) as constant):
                docstrings.add(constant)
                yield from docstring_paragraphs(path, node.lineno, text)
            case ast.Call():
                messages.update(_gettext_arguments(node))
            case ast.Constant(value=str(text)) if _SENTENCE_START.match(text) and not path.startswith(_DATA):
                messages.add(node)
    for message in sorted(messages - docstrings, key=lambda node: (node.lineno, node.col_offset)):
        # One number for all lines: a message is joined from pieces that ast does not tell apart.
        yield Paragraph(path=path, kind=Kind.MESSAGE, lines=((message.lineno, str(message.value)),))
    yield from _comments(path, source)


def docstring_paragraphs(path: str, line: int, text: str) -> Iterator[Paragraph]:
    """Yield the paragraphs and list items of a docstring that begins on `line`; skip examples and field tables."""
    rows = text.splitlines()
    margin = min((len(row) - len(row.lstrip()) for row in rows[1:] if row.strip()), default=0)
    rows = rows[:1] + [row[margin:] for row in rows[1:]]
    block: list[tuple[int, str]] = []
    kind = Kind.DOCSTRING
    for number, row in enumerate([*rows, ""], line):
        stripped = row.strip()
        indented = row.startswith((" ", "\t")) and number > line
        begins_item = _ITEM.match(stripped) or _FIELD.match(stripped)
        ends = not stripped or _RULE.match(stripped) or begins_item or stripped.startswith((">>>", ".. "))
        if ends or (indented and not block):
            if block:
                yield Paragraph(path=path, kind=kind, lines=tuple(block))
            block, kind = [], Kind.DOCSTRING
        if begins_item and not indented:
            kind = Kind.ITEM
            block = [(number, _FIELD.sub("", _ITEM.sub("", stripped, count=1), count=1))]
        elif not ends and (block or not indented):
            block.append((number, stripped))


def _gettext_arguments(call: ast.Call) -> Iterator[ast.Constant]:
    """Yield the source sentences of a gettext call; ngettext has two."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if _GETTEXT.fullmatch(name):
        for argument in call.args[:2]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument


def _comments(path: str, source: str) -> Iterator[Paragraph]:
    """Yield comments; consecutive lines in one column are one paragraph."""
    block: list[tuple[int, str]] = []
    last = (0, -1)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        row, column = token.start
        text = token.string.lstrip("#:").strip()
        alone = not token.line[:column].strip()
        skipped = not text or _DIRECTIVE.match(text) or _RULE.match(text) or _is_code(text)
        if block and (skipped or not alone or last != (row - 1, column) or _ITEM.match(text)):
            yield Paragraph(path=path, kind=Kind.COMMENT, lines=tuple(block))
            block = []
        if skipped:
            last = (0, -1)
        else:
            block.append((row, _ITEM.sub("", text, count=1)))
            last = (row, column) if alone else (0, -1)
    if block:
        yield Paragraph(path=path, kind=Kind.COMMENT, lines=tuple(block))


def _is_code(text: str) -> bool:
    """Tell whether a comment is Python code that was commented out."""
    if not re.search(r"[()\[\]{}=]", text):
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return text.endswith(("(", "[", "{", "):", ",")) and not re.search(r"\w \w+ \w", text)
    return True
