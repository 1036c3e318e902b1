"""Functions that cut, check and compare text. None of them cuts inside a character."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

OUTPUT_BYTES = 1024 * 1024
RESULT_CHARACTERS = 1024
_OMITTED = "\n… {count} bytes left out / 省略 {count} 字节 …\n"

# Code points that join the one before them. This is the cheap part of UAX #29, which has the full rules.
_CLUSTER_CODE_POINTS = 32
_JOINER = "\u200d"
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_FLAG_LETTERS = frozenset(map(chr, range(0x1F1E6, 0x1F200)))

Unit = Literal["bytes", "characters"]
"""The unit of a platform's limit: bytes of UTF-8, or code points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The stored part of a long text. `size_bytes` is the size of the full text in UTF-8."""

    text: str
    size_bytes: int
    truncated: bool


def keep_head_and_tail(text: str, *, limit_bytes: int = OUTPUT_BYTES) -> Kept:
    """Return a text of at most `limit_bytes` UTF-8 bytes: unchanged, or its head and tail with a note between."""
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
    """Return the first character that a database refuses or changes, like `U+0000`: NUL, a lone surrogate; or None."""
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


def after_words(text: str, count: int) -> str:
    """Return what follows the first `count` words as it was written, without white space at its ends."""
    parts = text.split(None, count)
    return parts[count].rstrip() if len(parts) > count else ""


def size_in(text: str, unit: Unit) -> int:
    """Return how long `text` is in that unit."""
    return len(text.encode()) if unit == "bytes" else len(text)


def cut(text: str, limit: int, unit: Unit) -> str:
    """Return the longest beginning of `text` that is at most `limit` long and does not end inside a character.

    A base and its accents, skin tones and joiners, and the two halves of a flag, stay together, up to 32 code points.
    Longer clusters are not readable characters and may be cut.
    """
    if limit <= 0:
        return ""
    end = len(text[:limit].encode()[:limit].decode(errors="ignore")) if unit == "bytes" else min(limit, len(text))
    whole = end
    while whole > 0 and end - whole <= _CLUSTER_CODE_POINTS and not _may_part(text, whole):
        whole -= 1
    return text[:whole] if whole > 0 and _may_part(text, whole) else text[:end]


def split(text: str, limit: int, unit: Unit) -> list[str]:
    """Return `text` as non-empty pieces of at most `limit` each; joined they are the text again.

    A piece ends at the last newline in its second half, else at the last space there, else where `cut` cuts.
    Raises ValueError if `limit` cannot hold one code point (4 bytes).
    """
    if limit < (4 if unit == "bytes" else 1):
        raise ValueError("the limit cannot hold a character")
    pieces = []
    while text:
        piece = cut(text, limit, unit)
        if len(piece) < len(text):
            for end in ("\n", " "):
                at = piece.rfind(end) + 1
                if at > len(piece) // 2 and _may_part(text, at):
                    piece = piece[:at]
                    break
        pieces.append(piece)
        text = text[len(piece) :]
    return pieces


def is_one_character(text: str) -> bool:
    """Tell whether a person sees one character: also an emoji with its skin tone, a flag, a family."""
    return 0 < len(text) <= _CLUSTER_CODE_POINTS and not any(_may_part(text, at) for at in range(1, len(text)))


def _may_part(text: str, at: int) -> bool:
    """Tell whether `text` may be cut before its code point number `at`."""
    if at <= 0 or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if before == _JOINER or after == _JOINER or unicodedata.category(after)[0] == "M" or after in _SKIN_TONES:
        return False
    if before == "\r" and after == "\n":
        return False
    if after in _FLAG_LETTERS:
        letters = 0
        while letters < at and text[at - 1 - letters] in _FLAG_LETTERS and letters < _CLUSTER_CODE_POINTS:
            letters += 1
        return letters % 2 == 0
    return True
