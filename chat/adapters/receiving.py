"""What every door does with a message of a person: once, as whoever talks there, in their language."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import ChatIdentity
from accounts.services.identities import Place, find_identity, set_identity_active
from chat.commands.interpret import SILENCE, answer, must_wait
from chat.commands.people import bind_place
from chat.commands.registry import Reply, find_command, line_of
from chat.commands.words import is_chinese, split_line
from chat.models import InboundMessage
from chat.services.inbound import put_off, respond_once
from notifications.channels.service import ensure_identity_channel, shut_identity_channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One message as a platform brought it. `key` is what the platform tells its messages apart by."""

    place: Place
    key: str
    text: str
    sealed: bool = True
    language: str = ""
    display: str = ""


def hear(heard: Heard) -> Reply:
    """Answer a message of somebody whom the platform vouches for."""
    return respond_once(
        platform=heard.place.platform,
        account=heard.place.account,
        key=heard.key,
        respond=lambda row: _respond(heard, row),
    )


def welcome(identity: ChatIdentity) -> None:
    """Somebody is here, for the first time or again: they can be reached where they talk."""
    set_identity_active(identity, True)
    ensure_identity_channel(identity)


def dismiss(identity: ChatIdentity, *, reason: str) -> None:
    """Somebody has left or blocks us: nothing is sent there until they are back."""
    set_identity_active(identity, False)
    shut_identity_channel(identity, reason=reason)


def say(identity: ChatIdentity, text: str, *, row: InboundMessage, sealed: bool = True, language: str = "") -> Reply:
    """Answer a line of somebody known, now or, where that may take long, later."""
    line = line_of(identity, text, message_id=row.pk, sealed=sealed, language=language)
    if line.sealed and must_wait(line):
        put_off(row, identity, text)
        return SILENCE
    return answer(line, owner=identity.owner)


def _respond(heard: Heard, row: InboundMessage) -> Reply:
    identity = find_identity(heard.place)
    if identity is None:
        return _to_stranger(heard)
    if not identity.active:
        welcome(identity)
    return say(identity, heard.text, row=row, sealed=heard.sealed, language=heard.language)


def _to_stranger(heard: Heard) -> Reply:
    """Take a code that ties the place to an account; say nothing else of what is behind the door."""
    words = split_line(heard.text)
    if not heard.sealed or not words:
        return SILENCE
    language = "zh-hans" if is_chinese(heard.text) else heard.language or "en"
    found = find_command(words)
    with translation.override(language):
        if found is not None and found[0].phrases[0] == "bind" and len(found[1]) == 1:
            tries_of = "/".join((heard.place.platform, heard.place.external_id))[:64]
            return bind_place(heard.place, found[1][0], tries_of=tries_of, display=heard.display)
        return Reply(text=_("I do not know you yet. Get a code in the console (Chat, “bind”) and send me: bind CODE"))
