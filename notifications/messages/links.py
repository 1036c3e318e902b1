"""Signed addresses: of a message's page, by which whoever has it may read that one message, for a month; of the page
on which whoever reads a mailbox agrees to what will come there.
"""

from __future__ import annotations

import datetime as dt
import hashlib

from django.conf import settings
from django.core import signing

from kernel.errors import NotFound
from notifications.models import Message

LIFE = dt.timedelta(days=30)
CONFIRMATION_LIFE = dt.timedelta(days=3)
_CONFIRMATIONS = signing.TimestampSigner(salt="letserver.mailbox", sep=".")
_SIGNER = signing.TimestampSigner(salt="letserver.message", sep=".")


def detail_url(message_id: str) -> str:
    """Return the address of a message's page."""
    return settings.PUBLIC_URL + detail_path(message_id)


def detail_path(message_id: str) -> str:
    """Return the same address without the host, for our own pages."""
    return f"/m/{_SIGNER.sign(message_id)}"


def linked_message(token: str) -> Message:
    """Return the message of an address, with its actions; raise NotFound for a forged, an old or an idle one."""
    found = Message.objects.prefetch_related("actions").filter(pk=message_of(token)).first()
    if found is None:
        raise NotFound
    return found


def message_of(token: str) -> str:
    """Return the message's id from its address; raise NotFound for a forged or an old one."""
    try:
        return _SIGNER.unsign(token, max_age=LIFE)
    except signing.BadSignature as error:
        raise NotFound from error


def confirmation_url(channel_id: str, address: str) -> str:
    """Return the address of the page on which a mailbox agrees to a channel. It holds for that mailbox alone."""
    token = _CONFIRMATIONS.sign(f"{channel_id}:{mailbox_digest(address)}")
    return f"{settings.PUBLIC_URL}/c/{token}"


def confirmation_of(token: str) -> tuple[str, str]:
    """Return the channel's id and the mailbox's digest; raise NotFound for a forged or an old address."""
    try:
        channel_id, _colon, digest = _CONFIRMATIONS.unsign(token, max_age=CONFIRMATION_LIFE).partition(":")
    except signing.BadSignature as error:
        raise NotFound from error
    return channel_id, digest


def mailbox_digest(address: str) -> str:
    """Return by what a mailbox is known where it need not be written out."""
    return hashlib.sha256(address.lower().encode()).hexdigest()[:32]
