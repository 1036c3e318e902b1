"""Turn the bytes of a program into clean text while they come. The result does not depend on how they were cut.

Each line goes through three steps: decode; drop colours, overwritten progress and control characters; hide secrets. A
line break is the same byte in UTF-8 and in GB18030, and never part of another character. So each line is decoded by
itself, and the programs of one job may write either.
"""

from __future__ import annotations

import re
from typing import Iterable

from skadi.redaction import Redactor

GAP = "\n... (output left out) ...\n"
LINE_BYTES = 64 * 1024
ESCAPE_BYTES = 256
ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[PX^_][^\x1b\n]*(?:\x1b\\)?|[ -/]*[0-~])"
)
OPEN_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*|[ -/]*)\Z")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def clean(text: str) -> str:
    """Return text without colours, overwritten progress, and control characters other than line breaks and tabs."""
    text = ANSI.sub("", text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return CONTROL.sub("", text)


class TextStream:
    """Take bytes and return clean text, line by line. A line of more than 64 KiB comes in pieces.

    Only the incomplete line is kept, so memory stays flat.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.redactor = Redactor(secrets)
        self.line = bytearray()
        self.looked = 0
        self.after_gap = False

    def feed(self, data: bytes) -> str:
        """Return the text that these bytes complete."""
        self.line += data
        done = []
        at = 0
        while True:
            newline = self.line.find(b"\n", max(at, self.looked), at + LINE_BYTES)
            if newline >= 0:
                done.append(self._text(bytes(self.line[at:newline])) + "\n")
                at = newline + 1
            elif len(self.line) - at >= LINE_BYTES:
                piece = bytes(self.line[at : at + LINE_BYTES])
                overwritten = piece.rstrip(b"\r").rfind(b"\r") + 1
                cut = overwritten or _complete_length(piece, self.after_gap)
                if not overwritten:
                    done.append(self._text(piece[:cut]))
                at += cut
            else:
                break
            self.looked = 0
        del self.line[:at]
        self.looked = len(self.line)
        return self.redactor.feed("".join(done))

    def finish(self) -> str:
        """Return the rest. No more bytes come."""
        rest = [self._text(bytes(self.line))] if self.line else []
        self._forget_line()
        return self.redactor.feed("".join(rest)) + self.redactor.finish()

    def gap(self) -> str:
        """Return the rest before a gap in the bytes, and a line that marks it. `feed` continues behind the gap.

        Characters and secrets that the gap cuts in two are dropped on both sides.
        """
        line = bytes(self.line)
        rest = [self._text(line[: _complete_length(line)])] if line else []
        self._forget_line()
        text = self.redactor.feed("".join(rest)) + self.redactor.gap() + GAP
        self.after_gap = True
        return text

    def _forget_line(self) -> None:
        self.line.clear()
        self.looked = 0

    def _text(self, line: bytes) -> str:
        if not self.after_gap:
            return clean(_decode(line))
        self.after_gap = False
        return self.redactor.after_gap(clean(_decode(_trim_partial_start(line))))


def _decode(line: bytes) -> str:
    for encoding in ("utf-8", "gb18030"):
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            continue
    return line.decode("utf-8", "replace")


def _complete_length(piece: bytes, after_gap: bool = False) -> int:
    """Return how many bytes of a cut line are complete characters and complete escape sequences.

    After a gap the line may begin with up to three bytes of a cut character.
    """
    escape = OPEN_ESCAPE.search(piece, max(len(piece) - ESCAPE_BYTES, 1))
    if escape:
        return escape.start()
    for encoding in ("utf-8", "gb18030"):
        for skip in range(4 if after_gap else 1):
            for drop in range(min(4, len(piece))):
                try:
                    piece[skip : len(piece) - drop].decode(encoding)
                except UnicodeDecodeError:
                    continue
                return len(piece) - drop
    return len(piece)


def _trim_partial_start(line: bytes) -> bytes:
    """Return the line without the last bytes of a cut character: up to three, if the rest can be decoded."""
    for encoding in ("utf-8", "gb18030"):
        for drop in range(min(4, len(line) + 1)):
            try:
                line[drop:].decode(encoding)
            except UnicodeDecodeError:
                continue
            return line[drop:]
    skip = 0
    while skip < min(3, len(line)) and 0x80 <= line[skip] < 0xC0:
        skip += 1
    return line[skip:]
