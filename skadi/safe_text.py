"""Text from outside: make it storable, and make it safe to show.

Texts come from the server, from messages and from commands. `storable` is for text that is stored or sent on;
`one_line` for log lines and sentences; `printable` for output of several lines on a terminal.
"""

from __future__ import annotations

import re

SURROGATE = re.compile("[\ud800-\udfff]")
# C0 without tab and line feed, DEL, C1, direction marks, embeddings, overrides and isolates, zero-width characters,
# line and paragraph separators, and surrogates.
ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def storable(text: str) -> str:
    """Return text that UTF-8 can encode: a half of a character becomes U+FFFD."""
    return SURROGATE.sub("\ufffd", text)


def printable(text: str) -> str:
    r"""Return text whose characters do nothing to a terminal: an escape becomes the four characters `\x1b`.

    Line feeds and tabs stay.
    """
    return ACTING.sub(_escape, text)


def one_line(text: str) -> str:
    """Return printable text in one line."""
    return printable(text.replace("\r", " ").replace("\n", " "))


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
