"""The signed address of a message's page: whoever has it may read that one message, for a month."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.core import signing

from kernel.errors import NotFound
from notifications.models import Message

LIFE = dt.timedelta(days=30)
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
