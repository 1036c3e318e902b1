"""The value of a message that is to be stored."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils import translation

from accounts.models import User
from kernel.clock import rfc3339
from kernel.idempotency import digest_of_key
from kernel.ids import new_id
from notifications.drivers.base import Words
from notifications.models import Format, Level

LETSERVER = "LetServer"
"""The source of the messages that this server sends on its own account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """A job that the owner can start by answering with its number."""

    label: str
    agent: str
    text: str
    expires_seconds: int = 24 * 3600
    once: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to store, with checked values.

    `way` is template, text or auto, for a channel that knows several. `channels` and `fallback` hold names or ids;
    if both are empty, the message goes to the owner's channels for its level. `address` is the account and the address
    of the chat to answer in. `without` holds ids of channels to leave out. `must_reach` refuses the message if no
    channel can take it now. `key` replaces the messages that were sent under it and still wait. `message_id` is made
    once, so that a retry of the transaction finds the row.
    """

    owner_id: str
    text: str
    title: str = ""
    format: str = Format.TEXT
    level: str = Level.INFO
    source: str = ""
    colour: str = ""
    url: str = ""
    mentions: tuple[str, ...] = ()
    agent_id: str = ""
    way: str = ""
    channels: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    address: tuple[str, str] | None = None
    without: frozenset[str] = frozenset()
    key: str = ""
    idempotency_key: str | None = None
    not_before: dt.datetime | None = None
    actions: tuple[ActionRequest, ...] = ()
    must_reach: bool = False
    message_id: str = field(default_factory=new_id)

    @property
    def idempotency_digest(self) -> str | None:
        """Return the idempotency key as the database keeps it; None without one."""
        return digest_of_key(self.idempotency_key)

    @property
    def request_digest(self) -> str:
        """Return a digest of every value that must be equal for two requests to be the same."""
        values = [
            self.text, self.title, self.format, self.level, self.source, self.colour, self.url, self.mentions,
            self.agent_id, self.way, self.channels, self.fallback, self.address, self.key, rfc3339(self.not_before),
            [[one.label, one.agent, one.text, one.expires_seconds, one.once] for one in self.actions],
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


@contextmanager
def language_of(owner: User) -> Iterator[None]:
    """Translate inside the block into the owner's language, or the server's if the owner has chosen none."""
    with translation.override(owner.language or settings.LANGUAGE_CODE):
        yield


def notice(
    owner: User,
    sentence: Words,
    params: Mapping[str, object],
    *,
    level: str = Level.WARNING,
    source: str = LETSERVER,
    **more: Any,
) -> NewMessage:
    """Return a message that tells `owner` a sentence in their language.

    `sentence` is lazy and has a placeholder %(name)s for each of `params`; `more` are further fields of NewMessage.
    """
    with language_of(owner):
        text = str(sentence % params)
    return NewMessage(owner_id=owner.pk, text=text, level=level, source=source, **more)
