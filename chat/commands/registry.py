"""Lines, replies, and the table of commands. Apps above register theirs in `AppConfig.ready()`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accounts.power import Holder
from chat.commands.words import folded, split_line
from kernel.text import after_words

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    from accounts.models import ChatIdentity, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that a person typed, and its conversation.

    `platform`: wechat, wecom, telegram, slack or console. `sealed`: it came encrypted or signed, so commands may run.
    `language`: the person's language as the platform reports it. `message_id`: our id of the message, so that a repeat
    of the message makes one job.
    """

    owner_id: str
    text: str
    platform: str
    identity_id: str = ""
    sealed: bool = True
    language: str = ""
    message_id: str = ""

    @property
    def place(self) -> str:
        """The key of this conversation. The answer to a question counts only in the same conversation."""
        return f"identity:{self.identity_id}" if self.identity_id else f"{self.platform}:{self.owner_id}"

    @property
    def holder(self) -> Holder:
        """The column of the table of powers that speaks of this line's writer."""
        return Holder.CHAT if self.sealed else Holder.NOBODY

    @property
    def source(self) -> str:
        """The source of jobs that are sent from here."""
        return f"chat:{self.identity_id or self.platform}"

    @property
    def actor(self) -> str:
        """The actor of events and audit entries that the line causes."""
        return f"user:{self.owner_id}"


def line_of(identity: ChatIdentity, text: str, *, message_id: str, sealed: bool = True, language: str = "") -> Line:
    """Return the line that the owner of this identity typed."""
    return Line(
        owner_id=identity.owner_id,
        text=text,
        platform=identity.platform,
        identity_id=identity.pk,
        sealed=sealed,
        language=language,
        message_id=message_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a line. `silent`: none. `masked`: the text to store, if `text` holds a secret."""

    text: str = ""
    silent: bool = False
    masked: str = ""

    @property
    def to_keep(self) -> str:
        """The text without secrets."""
        return self.masked or self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A recognized command: its line, its owner, and the words after the command's own."""

    line: Line
    owner: User
    words: Sequence[str] = field(default_factory=tuple)

    def text_after(self, count: int) -> str:
        """Return what follows the first `count` of `words`, as it was written."""
        before = len(split_line(self.line.text)) - len(self.words)
        return after_words(self.line.text, before + count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command. `phrases`: one or two words each that start it; the first is shown.

    `words`: the fewest and the most words that may follow (None: any number); otherwise the reply is the usage. `run`
    returns the reply or raises an AppError. `warning` returns a question to ask before `run`, empty if none is needed;
    it may raise as `run` does. `slow`: the command may wait for another service, so a platform with a deadline gets the
    answer later. `hidden`: help does not list it.
    """

    phrases: tuple[str, ...]
    usage: str | _StrPromise
    summary: str | _StrPromise
    run: Callable[[Call], Reply]
    words: tuple[int, int | None] = (0, 0)
    warning: Callable[[Call], str] | None = None
    slow: bool = False
    hidden: bool = False


_by_phrase: dict[tuple[str, ...], Command] = {}


def register(command: Command) -> None:
    """Add a command. Raises ValueError for a phrase that another command has."""
    for phrase in command.phrases:
        key = tuple(folded(word) for word in phrase.split())
        if not 1 <= len(key) <= 2 or _by_phrase.setdefault(key, command) is not command:
            raise ValueError(f"the phrase {phrase!r} cannot be registered")


def find_command(words: Sequence[str]) -> tuple[Command, Sequence[str]] | None:
    """Return the command that these words begin with, and the remaining words. A phrase of two words wins."""
    for length in (2, 1):
        command = _by_phrase.get(tuple(folded(word) for word in words[:length])) if len(words) >= length else None
        if command is not None:
            return command, words[length:]
    return None


def all_commands() -> Iterator[Command]:
    """Return every command once, in the order of registration."""
    return iter(dict.fromkeys(_by_phrase.values()))


def first_words() -> list[str]:
    """Return the first word of every phrase, folded. No agent may have such a name."""
    return list(dict.fromkeys(key[0] for key in _by_phrase))
