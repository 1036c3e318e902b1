"""Signed addresses of two pages: one message, for 30 days, and the confirmation of a mailbox, for three."""

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
    """Return the message of an address, with its actions; raise NotFound if it is forged, too old, or gone."""
    found = Message.objects.prefetch_related("actions").filter(pk=message_of(token)).first()
    if found is None:
        raise NotFound
    return found


def message_of(token: str) -> str:
    """Return the message's id from its address; raise NotFound if it is forged or too old."""
    try:
        return _SIGNER.unsign(token, max_age=LIFE)
    except signing.BadSignature as error:
        raise NotFound from error


def confirmation_url(channel_id: str, address: str) -> str:
    """Return the address of the page that confirms a mailbox. It is valid only for that mailbox."""
    token = _CONFIRMATIONS.sign(f"{channel_id}:{mailbox_digest(address)}")
    return f"{settings.PUBLIC_URL}/c/{token}"


def confirmation_of(token: str) -> tuple[str, str]:
    """Return the channel's id and the mailbox's digest; raise NotFound if the address is forged or too old."""
    try:
        channel_id, _colon, digest = _CONFIRMATIONS.unsign(token, max_age=CONFIRMATION_LIFE).partition(":")
    except signing.BadSignature as error:
        raise NotFound from error
    return channel_id, digest


def mailbox_digest(address: str) -> str:
    """Return a digest of a mailbox, for keys and links that must not show the address."""
    return hashlib.sha256(address.lower().encode()).hexdigest()[:32]
