"""Cutting, checking and comparing text. Nothing here ever cuts inside a character."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

OUTPUT_BYTES = 1024 * 1024
RESULT_CHARACTERS = 1024
_OMITTED = "\n… {count} bytes left out / 省略 {count} 字节 …\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of a long text: at most `limit` bytes of UTF-8, and how long the whole was."""

    text: str
    size_bytes: int
    truncated: bool


def keep_head_and_tail(text: str, *, limit_bytes: int = OUTPUT_BYTES) -> Kept:
    """Keep a text of at most `limit_bytes` UTF-8 bytes: whole, or its first and last half with a note between."""
    data = text.encode()
    if len(data) <= limit_bytes:
        return Kept(text=text, size_bytes=len(data), truncated=False)
    note = _OMITTED.format(count=len(data) - limit_bytes)
    room = limit_bytes - len(note.encode()) - 16  # the true count can have more digits than the guess
    head = data[: room // 2].decode(errors="ignore")
    tail = data[len(data) - room // 2 :].decode(errors="ignore")
    omitted = len(data) - len(head.encode()) - len(tail.encode())
    return Kept(text=head + _OMITTED.format(count=omitted) + tail, size_bytes=len(data), truncated=True)


def unstorable_character(text: str) -> str | None:
    """Name the first thing in `text` that a database refuses or mangles: NUL or a lone surrogate; None if clean."""
    if "\x00" in text:
        return "U+0000"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"U+{ord(text[error.start]):04X}"
    return None


def name_key(name: str) -> str:
    """Return the form in which two names are compared: NFKC, then case folded, then NFKC again."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def collapse_spaces(text: str) -> str:
    """Turn every run of white space into one space and drop it at both ends."""
    return " ".join(text.split())
