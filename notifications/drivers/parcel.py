"""A message as a driver gets it: rendered, with everything that sending needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from kernel.visible import visible_line, visible_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One message for one channel, rendered. `colour` is "#RRGGBB" or empty; `mentions` are names at the service.

    `address` is the openid, user id or chat id where the channel is bound to an identity, else empty. `actions` are
    numbers to reply with, and what each starts on which agent. `count` is the number of equal messages that it stands
    for.
    """

    delivery_id: str
    title: str
    text: str
    at: datetime
    format: str = "text"
    level: str = "info"
    colour: str = ""
    source: str = ""
    url: str = ""
    detail_url: str = ""
    mentions: tuple[str, ...] = ()
    count: int = 1
    way: str = ""
    address: str = ""
    actions: tuple[tuple[int, str], ...] = ()

    def words(self) -> str:
        """Return the text with hidden characters shown and with service commands disabled.

        A text can be the output of a program. It must not mention people (`@everyone`, `<!channel>`, `<at …>`) or make
        a link that sends a line in the reader's name (WeChat's `<a href="weixin://…">`). Only Markdown, which its
        sender wrote as such, keeps its mentions.
        """
        text = visible_text(self.text)
        return text if self.format == "markdown" else _COMMANDS.sub(_DISABLED, text)

    def heading(self) -> str:
        """Return the title on one line, with hidden characters shown and service commands disabled."""
        return _COMMANDS.sub(_DISABLED, visible_line(self.title))

    def head(self) -> str:
        """Return the line above the text: level, source, title and count; empty without any of them."""
        source = f"[{visible_line(self.source)}]" if self.source and self.title else ""
        times = f"×{self.count}" if self.count > 1 else ""
        return " ".join(filter(None, [_MARKS.get(self.level, ""), source, self.heading(), times]))

    def lines(self) -> str:
        """Return everything as one text without markup."""
        return "\n".join(filter(None, [self.head(), self.words(), self.answers(), self.url]))

    def answers(self) -> str:
        """Return a line for each action, with service commands disabled."""
        return "\n".join(f"{number}. {_COMMANDS.sub(_DISABLED, words)}" for number, words in self.actions)


# A zero-width space behind the first character disables the command and leaves the look.
_COMMANDS = re.compile(r"<(?=[!@#]|/?a\b|/?at\b)|@(?=(?:everyone|here|channel|all)\b)", re.IGNORECASE)
_DISABLED = "\\g<0>\u200b"
_MARKS = {"warning": "⚠️", "error": "🟥"}
