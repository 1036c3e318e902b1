"""Untrusted text made safe to look at: characters that move the cursor or turn the reading direction become signs.

Templates escape HTML in addition. Sources: ECMA-48 (escape sequences), Unicode 15 section 23.2 (format characters) and
UTS #39 (characters that must not stay hidden).
"""

from __future__ import annotations

import re
import unicodedata

# CSI ... final byte; OSC, DCS, SOS, PM, APC up to their end; any other two-character escape. A string of OSC and the
# others ends where another begins: else each of many unterminated ones is searched to the end of the text.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
)
# Emoji, Persian and Indic scripts need these joiners.
_HARMLESS = frozenset("\n\t\u200c\u200d")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_SENT_BACK = re.compile(r"(<input\b[^>]*>|<textarea\b.*?</textarea>)", re.DOTALL | re.IGNORECASE)
# Controls, soft hyphen, zero width, directions, tags: a quick check whether a page has any.
_HIDDEN_IN_PAGE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_MOST_MARKS = 8
_CONTROL_PICTURES = 0x2400
_DELETE = 0x7F


def visible_text(text: str) -> str:
    """Return `text` without terminal escapes, and with every control or hidden character as a visible sign.

    Newlines (also CR LF) and tabs stay. C0 controls become control pictures, others `⟨U+202E⟩`. At most eight combining
    marks stay on a character.
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
    """Return `visible_text` as one line: every run of white space becomes one space."""
    return " ".join(visible_text(text).split())


def visible_page(html: str) -> str:
    """Return a page of HTML with the hidden characters of its texts as signs.

    The values of a form stay as they are (`<input>`, `<textarea>`): otherwise saving a page would change texts.
    """
    if not _HIDDEN_IN_PAGE.search(html):
        return html
    parts = _SENT_BACK.split(html)
    return "".join(part if at % 2 else visible_text(part) for at, part in enumerate(parts))


def _sign(character: str) -> str:
    number = ord(character)
    if number < 0x20:
        return chr(_CONTROL_PICTURES + number)
    if number == _DELETE:
        return "\u2421"
    return f"⟨U+{number:04X}⟩"
