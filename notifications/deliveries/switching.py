"""Switch a channel off when its service refuses it for good."""

from __future__ import annotations

import datetime as dt

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from notifications.messages.notify import notify_owner
from notifications.models import Channel


def switch_off(channel: Channel, *, reason: str, now: dt.datetime) -> None:
    """Switch a channel off and notify its owner on another one; does nothing if it is off already."""
    enabled: QuerySet[Channel] = Channel.objects.filter(pk=channel.pk, enabled=True)
    if not enabled.update(enabled=False, off_reason=reason[:64], off_at=now, changed_at=now):
        return
    channel.enabled = False
    notify_owner(
        channel.owner,
        _("The channel %(name)s is switched off: its service refuses it (%(reason)s). Fix it and switch it on again."),
        {"name": channel.name, "reason": reason},
        now=now,
        without=frozenset({channel.pk}),
    )
