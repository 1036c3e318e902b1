"""Channels that a person's account at a platform makes: WeChat, WeCom, Telegram, Slack."""

from __future__ import annotations

from accounts.models import ChatIdentity
from kernel.clock import database_now
from kernel.transactions import named_transaction
from notifications.channels.service import free_name, next_position
from notifications.drivers.registry import driver_of
from notifications.models import Channel, Level

_DRIVER_OF_PLATFORM = {"wechat": "wechat", "wecom": "wecom_app", "telegram": "telegram", "slack": "slack"}


def ensure_identity_channel(identity: ChatIdentity) -> Channel:
    """Return the channel to a chat identity, enabled; make it for all levels if there is none.

    The channel belongs to the owner that the identity has now.
    """
    with named_transaction("channel.ensure"):
        now = database_now()
        driver = _DRIVER_OF_PLATFORM[identity.platform]
        chat = {"driver": driver, "account": identity.account, "address": identity.external_id}
        channel = Channel.objects.select_for_update().filter(**chat).first()
        if channel is None:
            channel = Channel(
                **chat, levels=list(Level.values), created_at=now, name="", position=next_position(identity.owner_id)
            )
        if channel.owner_id != identity.owner_id:
            channel.owner_id = identity.owner_id
            channel.name = free_name(identity.owner_id, str(driver_of(driver).label))
        channel.enabled, channel.off_reason, channel.off_at, channel.changed_at = True, "", None, now
        channel.save()
    return channel


def shut_identity_channel(identity: ChatIdentity, *, reason: str) -> None:
    """Switch off the channel to a chat identity, because the person has left; waiting deliveries fall back."""
    with named_transaction("channel.shut"):
        now = database_now()
        Channel.objects.filter(
            driver=_DRIVER_OF_PLATFORM[identity.platform], account=identity.account, address=identity.external_id
        ).update(enabled=False, off_reason=reason, off_at=now, changed_at=now)
