"""Split a message into words as a POSIX shell would, but without variables and operators.

The result is that of `shlex.split`, with two additions for phones: typographic quotes around a complete word count as
quotes, and a full-width space ends the first word. `$(id)`, `;` and `|` are plain characters here.
"""

from __future__ import annotations

import unicodedata

BLANKS = " \t\r\n"
TYPOGRAPHIC = {"\u201c": "\u201d", "\u2018": "\u2019"}
FULL_WIDTH_SPACE = "\u3000"


class WordsError(ValueError):
    """The text cannot be split: a quote is not closed, or it has a character that no argument can have."""


def fold(text: str) -> str:
    """Return the form in which names are compared if they are not equal as written: NFKC, case folded."""
    return unicodedata.normalize("NFKC", " ".join(text.split())).casefold()


def check_text(text: str) -> None:
    """Raise WordsError for a text that cannot be an argument."""
    if "\0" in text:
        raise WordsError("the text contains a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise WordsError("the text is not valid Unicode") from None


def split_words(text: str) -> list[str]:
    """Return the words of a text. Raises WordsError."""
    check_text(text)
    words: list[str] = []
    word: str | None = None
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char in BLANKS or (char == FULL_WIDTH_SPACE and not words):
            if word is not None:
                words.append(word)
                word = None
            continue
        starts = word is None
        word = word or ""
        if char == "'":
            part, position = _until(text, position, "'", escapes=False)
            word += part
        elif char == '"':
            part, position = _until(text, position, '"', escapes=True)
            word += part
        elif char == "\\":
            if position == len(text):
                raise WordsError("a backslash at the end of the text")
            word += text[position]
            position += 1
        elif starts and char in TYPOGRAPHIC and _closes(text, position, TYPOGRAPHIC[char]):
            part, position = _until(text, position, TYPOGRAPHIC[char], escapes=False)
            word += part
        else:
            word += char
    if word is not None:
        words.append(word)
    return words


def _until(text: str, position: int, quote: str, escapes: bool) -> tuple[str, int]:
    """Return the text up to a closing quote, and the position behind it."""
    part = ""
    while position < len(text):
        char = text[position]
        position += 1
        if char == quote:
            return part, position
        if escapes and char == "\\" and text[position : position + 1] in (quote, "\\"):
            char = text[position]
            position += 1
        part += char
    raise WordsError(f"a quote {quote} is not closed")


def _closes(text: str, position: int, quote: str) -> bool:
    """Return whether the next such quote ends a word. Otherwise it is an apostrophe or a quotation inside a word."""
    end = text.find(quote, position)
    return end >= 0 and (end + 1 == len(text) or text[end + 1] in BLANKS)
