"""The addresses of callbacks: which have shut themselves, and what their owner hears when one is given up."""

from __future__ import annotations

import datetime as dt
import hashlib
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from notifications.messages.accept import NewMessage, accept_messages
from notifications.models import Delivery, Level, Message, ShutTarget

SHUT = "shut"
"""The code of a callback that was not sent, because its address has answered 410 before."""

_SILENT_FOR = dt.timedelta(hours=1)
_HOST_CHARACTERS = 80


def shut_target(delivery: Delivery, now: dt.datetime) -> None:
    """Call this address no more for this owner."""
    digest = _digest(delivery.target)
    ShutTarget.objects.get_or_create(owner_id=delivery.owner_id, digest=digest, defaults={"shut_at": now})


def is_shut(delivery: Delivery) -> bool:
    """Tell whether the address wants no more."""
    return ShutTarget.objects.filter(owner_id=delivery.owner_id, digest=_digest(delivery.target)).exists()


def open_target(delivery: Delivery) -> None:
    """Call the address again: its owner says so."""
    ShutTarget.objects.filter(owner_id=delivery.owner_id, digest=_digest(delivery.target)).delete()


def tell_given_up(delivery: Delivery, now: dt.datetime) -> None:
    """Tell the owner that a callback was given up; of one host at most once an hour.

    The sentence names the host only: an address may hold a secret in its path or query.
    """
    host = (urlsplit(delivery.target).hostname or "")[:_HOST_CHARACTERS]
    key = f"callback:{_digest(host)[:32]}"
    told = Message.objects.filter(owner_id=delivery.owner_id, key=key, created_at__gt=now - _SILENT_FOR)
    if delivery.provider_code == SHUT or told.exists():
        return
    with translation.override(delivery.owner.language or settings.LANGUAGE_CODE):
        if delivery.fault == "auth":
            text = _("The callback address at %(host)s answered 410: it is not called any more until you replay one.")
        else:
            text = _("Callbacks to %(host)s are given up (%(code)s). They can be replayed for 30 days.")
        words = {"host": host, "code": delivery.provider_code}
        notice = NewMessage(
            owner_id=delivery.owner_id, text=text % words, level=Level.WARNING, source="LetServer", key=key
        )
    accept_messages([notice], now=now)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
