"""Text from strangers, made safe to look at: what would move the cursor or turn the reading direction is shown instead.

Escaping for HTML is the template's work and comes on top. Sources: ECMA-48 (escape sequences), Unicode 15 sections
23.2 (format characters) and UTS #39 (what must not pass unseen).
"""

from __future__ import annotations

import re
import unicodedata

# CSI ... final byte; OSC, DCS, SOS, PM, APC up to their end; any other two-character escape.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
)
# Joiners that emoji, Persian and Indic scripts are written with.
_HARMLESS = frozenset("\n\t\u200c\u200d")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_MOST_MARKS = 8
_CONTROL_PICTURES = 0x2400
_DELETE = 0x7F


def visible_text(text: str) -> str:
    """Return `text` without terminal escapes, and with every control and hidden character as a visible sign.

    New lines (also CR LF) and tabs stay. C0 controls become control pictures, others `⟨U+202E⟩`. Piles of combining
    marks are cut to eight on a character.
    """
    plain = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    if plain.isascii() and plain.isprintable():
        return plain
    shown: list[str] = []
    marks = 0
    for character in plain:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > _MOST_MARKS:
            continue
        hidden = category in _HIDDEN_CATEGORIES and character not in _HARMLESS
        shown.append(_sign(character) if hidden else character)
    return "".join(shown)


def visible_line(text: str) -> str:
    """The same for one line of a list: every run of white space becomes one space."""
    return " ".join(visible_text(text).split())


def _sign(character: str) -> str:
    number = ord(character)
    if number < 0x20:
        return chr(_CONTROL_PICTURES + number)
    if number == _DELETE:
        return "\u2421"
    return f"⟨U+{number:04X}⟩"
