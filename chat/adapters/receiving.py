"""The steps that every adapter takes for a message of a person: once, as their user, in their language."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import ChatIdentity
from accounts.services.identities import ChatAddress, find_identity, set_identity_active
from chat.commands.interpret import SILENCE, answer, must_wait
from chat.commands.people import bind_address
from chat.commands.registry import Reply, find_command, line_of
from chat.commands.words import is_chinese, split_line
from chat.models import InboundMessage
from chat.services.inbound import put_off, respond_once
from notifications.channels.identity import ensure_identity_channel, shut_identity_channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One message as the platform pushed it. `key` is the platform's id of the message."""

    address: ChatAddress
    key: str
    text: str
    sealed: bool = True
    language: str = ""
    display: str = ""


def receive(incoming: Incoming) -> Reply:
    """Answer a message whose sender the platform has authenticated. A repeat gets the first reply."""
    return respond_once(
        platform=incoming.address.platform,
        account=incoming.address.account,
        key=incoming.key,
        respond=lambda row: _respond(incoming, row),
    )


def welcome(identity: ChatIdentity) -> None:
    """Mark that the person can be reached on the platform, and switch their channel there on."""
    set_identity_active(identity, True)
    ensure_identity_channel(identity)


def dismiss(identity: ChatIdentity, *, reason: str) -> None:
    """Mark that the person has left or blocked our account, and switch their channel there off."""
    set_identity_active(identity, False)
    shut_identity_channel(identity, reason=reason)


def say(identity: ChatIdentity, text: str, *, row: InboundMessage, sealed: bool = True, language: str = "") -> Reply:
    """Answer a line of a known person, now, or later if the command may be slow."""
    line = line_of(identity, text, message_id=row.pk, sealed=sealed, language=language)
    if line.sealed and must_wait(line):
        put_off(row, identity, text)
        return SILENCE
    return answer(line, owner=identity.owner)


def _respond(incoming: Incoming, row: InboundMessage) -> Reply:
    identity = find_identity(incoming.address)
    if identity is None:
        return _to_unknown(incoming)
    if not identity.active:
        welcome(identity)
    return say(identity, incoming.text, row=row, sealed=incoming.sealed, language=incoming.language)


def _to_unknown(incoming: Incoming) -> Reply:
    """Take a code that binds the address to an account; reveal nothing else to an unknown sender."""
    words = split_line(incoming.text)
    if not incoming.sealed or not words:
        return SILENCE
    language = "zh-hans" if is_chinese(incoming.text) else incoming.language or "en"
    found = find_command(words)
    with translation.override(language):
        if found is not None and found[0].phrases[0] == "bind" and len(found[1]) == 1:
            tries_of = "/".join((incoming.address.platform, incoming.address.external_id))[:64]
            return bind_address(incoming.address, found[1][0], tries_of=tries_of, display=incoming.display)
        return Reply(text=_("I do not know you yet. Get a code in the console (Chat, “bind”) and send me: bind CODE"))
