"""Addresses of callbacks: which are shut, and the owner's warning when a callback is given up."""

from __future__ import annotations

import datetime as dt
import hashlib
from urllib.parse import urlsplit

from django.utils.translation import gettext_lazy as _

from notifications.drivers.base import Fault
from notifications.messages.notify import notify_owner
from notifications.models import Delivery, Message, ShutTarget

SHUT = "shut"
"""The code of a callback that was not sent because its address has answered 410 before."""

_ONE_WARNING_IN = dt.timedelta(hours=1)
_HOST_CHARACTERS = 80


def shut_target(delivery: Delivery, now: dt.datetime) -> None:
    """Stop calling the delivery's address for its owner."""
    digest = _digest(delivery.target)
    ShutTarget.objects.get_or_create(owner_id=delivery.owner_id, digest=digest, defaults={"shut_at": now})


def is_shut(delivery: Delivery) -> bool:
    """Tell whether the delivery's address has answered 410 to its owner's callbacks."""
    return ShutTarget.objects.filter(owner_id=delivery.owner_id, digest=_digest(delivery.target)).exists()


def open_target(delivery: Delivery) -> None:
    """Call the delivery's address again."""
    ShutTarget.objects.filter(owner_id=delivery.owner_id, digest=_digest(delivery.target)).delete()


def warn_of_dead_callback(delivery: Delivery, now: dt.datetime) -> None:
    """Warn the owner that a callback was given up, at most once an hour for one host.

    The sentence names only the host: the path or the query may hold a secret.
    """
    host = (urlsplit(delivery.target).hostname or "")[:_HOST_CHARACTERS]
    key = f"callback:{_digest(host)[:32]}"
    recent = Message.objects.filter(owner_id=delivery.owner_id, key=key, created_at__gt=now - _ONE_WARNING_IN)
    if delivery.provider_code == SHUT or recent.exists():
        return
    if delivery.fault == Fault.AUTH:
        sentence = _("The callback address at %(host)s answered 410: it is not called any more until you replay one.")
    else:
        sentence = _("Callbacks to %(host)s are given up (%(code)s). They can be replayed for 30 days.")
    notify_owner(delivery.owner, sentence, {"host": host, "code": delivery.provider_code}, now=now, key=key)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
