"""What the calls about messages and channels give: one serializer and one renderer for each shape."""

from __future__ import annotations

from typing import Any, TypedDict

from rest_framework import serializers

from kernel.clock import rfc3339
from notifications.channels.confirming import needs_confirmation
from notifications.channels.service import settings_of
from notifications.drivers.registry import driver_of
from notifications.messages.read import state_of
from notifications.models import Channel, Delivery, DeliveryState, Format, Level, Message


class DeliveryJson(TypedDict):
    """What became of a message on one channel."""

    id: str
    channel_id: str | None
    channel: str | None
    way: str
    state: str
    tries: int
    fault: str
    code: str
    meaning: str
    provider_id: str
    due_at: str | None
    created_at: str | None
    ended_at: str | None


class MessageJson(TypedDict):
    """A message as its owner gets it."""

    id: str
    title: str
    text: str
    format: str
    level: str
    source: str
    color: str
    url: str
    mentions: list[str]
    agent_id: str | None
    key: str
    count: int
    state: str
    not_before: str | None
    withdrawn_at: str | None
    created_at: str | None
    actions: list[dict[str, object]]
    deliveries: list[DeliveryJson]


class DeliverySerializer(serializers.Serializer[Any]):
    """What became of a message on one channel."""

    id = serializers.CharField()
    channel_id = serializers.CharField(allow_null=True)
    channel = serializers.CharField(allow_null=True)
    way = serializers.CharField(help_text="`template` or `text` for WeChat.")
    state = serializers.ChoiceField(DeliveryState.choices)
    tries = serializers.IntegerField()
    fault = serializers.CharField(help_text="retry, permanent, quota, window, auth; empty where nothing is wrong.")
    code = serializers.CharField(help_text="What the service said.")
    meaning = serializers.CharField(help_text="What that means.")
    provider_id = serializers.CharField()
    due_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class GivenActionSerializer(serializers.Serializer[Any]):
    """An action as it stands."""

    number = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]
    agent = serializers.CharField()
    message = serializers.CharField()
    once = serializers.BooleanField()
    expires_at = serializers.DateTimeField()
    taken_at = serializers.DateTimeField(allow_null=True)


class MessageSerializer(serializers.Serializer[Any]):
    """A message with what became of it."""

    id = serializers.CharField()
    title = serializers.CharField()
    text = serializers.CharField()
    format = serializers.ChoiceField(Format.choices)
    level = serializers.ChoiceField(Level.choices)
    source = serializers.CharField()  # type: ignore[assignment]
    color = serializers.CharField()
    url = serializers.CharField()
    mentions = serializers.ListField(child=serializers.CharField())
    agent_id = serializers.CharField(allow_null=True, help_text="The agent that sent it.")
    key = serializers.CharField()
    count = serializers.IntegerField(help_text="How often the same was said within a moment.")
    state = serializers.ChoiceField(["stored", *DeliveryState.values], help_text="`sent` when every target has it.")
    not_before = serializers.DateTimeField(allow_null=True)
    withdrawn_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    actions = GivenActionSerializer(many=True)
    deliveries = DeliverySerializer(many=True)


class MessagePageSerializer(serializers.Serializer[Any]):
    """A page of messages, newest first."""

    items = MessageSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class ChannelJson(TypedDict):
    """A channel as its owner gets it; secrets never."""

    id: str
    name: str
    driver: str
    position: int
    levels: list[str]
    settings: dict[str, object]
    enabled: bool
    verified: bool
    off_reason: str
    off_at: str | None
    quiet_from: str | None
    quiet_until: str | None
    last_sent_at: str | None
    created_at: str | None


class ChannelSerializer(serializers.Serializer[Any]):
    """A channel."""

    id = serializers.CharField()
    name = serializers.CharField()
    driver = serializers.CharField()
    position = serializers.IntegerField(help_text="The lowest is tried first.")
    levels = serializers.ListField(child=serializers.ChoiceField(Level.choices))
    settings = serializers.DictField(help_text="Without the secrets.")
    enabled = serializers.BooleanField()
    verified = serializers.BooleanField(
        help_text="Off: a mailbox that has not agreed yet. Nothing but the mail that asks is sent there."
    )
    off_reason = serializers.CharField(help_text="What the service said when it was switched off; `owner`: you did.")
    off_at = serializers.DateTimeField(allow_null=True)
    quiet_from = serializers.CharField(allow_null=True)
    quiet_until = serializers.CharField(allow_null=True)
    last_sent_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class ChannelWithSecretsSerializer(ChannelSerializer):
    """A channel, and the secrets that this server has made for it, shown this once."""

    secrets = serializers.DictField(
        child=serializers.CharField(),
        help_text="By the name of the setting that was left empty: a webhook's signing `secret`. Else empty.",
    )


class ChannelListSerializer(serializers.Serializer[Any]):
    """All channels, in order; `next` is always null."""

    items = ChannelSerializer(many=True)
    next = serializers.CharField(allow_null=True)


def message_json(message: Message) -> MessageJson:
    """Render a message. `deliveries` with their channels, and `actions`, should be prefetched."""
    deliveries = sorted(message.deliveries.all(), key=lambda one: one.pk)
    return {
        "id": message.pk,
        "title": message.title,
        "text": message.text,
        "format": message.format,
        "level": message.level,
        "source": message.source,
        "color": message.colour,
        "url": message.url,
        "mentions": list(message.mentions),
        "agent_id": message.agent_id or None,
        "key": message.key,
        "count": message.count,
        "state": state_of(deliveries),
        "not_before": rfc3339(message.not_before),
        "withdrawn_at": rfc3339(message.withdrawn_at),
        "created_at": rfc3339(message.created_at),
        "actions": [
            {
                "number": action.number,
                "label": action.label,
                "agent": action.agent,
                "message": action.text,
                "once": action.once,
                "expires_at": rfc3339(action.expires_at),
                "taken_at": rfc3339(action.taken_at),
            }
            for action in sorted(message.actions.all(), key=lambda one: one.number)
        ],
        "deliveries": [_delivery_json(delivery) for delivery in deliveries],
    }


def channel_json(channel: Channel, *, with_settings: bool = True) -> ChannelJson:
    """Render a channel. Of its settings, what is no secret, or nothing."""
    secret = driver_of(channel.driver).secret_fields()
    shown = {name: value for name, value in settings_of(channel).items() if with_settings and name not in secret}
    return {
        "id": channel.pk,
        "name": channel.name,
        "driver": channel.driver,
        "position": channel.position,
        "levels": list(channel.levels),
        "settings": shown,
        "enabled": channel.enabled,
        "verified": not needs_confirmation(channel),
        "off_reason": channel.off_reason,
        "off_at": rfc3339(channel.off_at),
        "quiet_from": channel.quiet_from.strftime("%H:%M") if channel.quiet_from else None,
        "quiet_until": channel.quiet_until.strftime("%H:%M") if channel.quiet_until else None,
        "last_sent_at": rfc3339(channel.last_sent_at),
        "created_at": rfc3339(channel.created_at),
    }


def _delivery_json(delivery: Delivery) -> DeliveryJson:
    channel = delivery.channel
    meaning = driver_of(channel.driver).explain(delivery.provider_code) if channel and delivery.provider_code else ""
    return {
        "id": delivery.pk,
        "channel_id": channel.pk if channel else None,
        "channel": channel.name if channel else None,
        "way": delivery.way,
        "state": delivery.state,
        "tries": delivery.tries,
        "fault": delivery.fault,
        "code": delivery.provider_code,
        "meaning": str(meaning),
        "provider_id": delivery.provider_id,
        "due_at": rfc3339(delivery.due_at),
        "created_at": rfc3339(delivery.created_at),
        "ended_at": rfc3339(delivery.ended_at),
    }
