"""Notify owners and staff in their language: the one way for LetServer to write to a person on its own account."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from accounts.models import User
from notifications.drivers.base import Words
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import notice
from notifications.models import Channel


def notify_owner(owner: User, sentence: Words, params: Mapping[str, object], *, now: dt.datetime, **more: Any) -> None:
    """Store a message to `owner` in the caller's transaction, as a warning from LetServer unless `more` says otherwise.

    `sentence` is lazy and has a placeholder %(name)s for each of `params`. It is translated into the owner's language.
    `more` are further fields of NewMessage, such as `level`, or `key` to replace an earlier notice that still waits.
    """
    accept_messages([notice(owner, sentence, params, **more)], now=now)


def notify_staff(sentence: Words, params: Mapping[str, object], *, now: dt.datetime) -> None:
    """Store a warning to every active member of staff who has a channel, as `notify_owner` does."""
    reached = Channel.objects.filter(enabled=True).values("owner_id")
    for user in User.objects.filter(is_active=True, is_staff=True, pk__in=reached).order_by("pk"):
        notify_owner(user, sentence, params, now=now)
