"""What the calls about messages and channels take and give: one serializer and one renderer for each shape."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, TypedDict

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kernel.clock import rfc3339
from kernel.rest import Flag, Text
from notifications.drivers.registry import driver_of
from notifications.models import (
    ACTION_LABEL_LENGTH,
    ACTIONS_LIMIT,
    CHANNEL_NAME_LENGTH,
    KEY_LENGTH,
    SOURCE_LENGTH,
    TEXT_LENGTH,
    TITLE_LENGTH,
    URL_LENGTH,
    Channel,
    Delivery,
    DeliveryState,
    Format,
    Level,
    Message,
)
from notifications.services.channels import settings_of
from notifications.services.read import state_of

COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_MENTIONS_LIMIT = 50
_TARGETS_LIMIT = 20


@extend_schema_field(OpenApiTypes.DATETIME)
class Moment(serializers.Field[dt.datetime, str, str, Any]):
    """A time with a zone."""

    default_error_messages = {"invalid": _("a time with a zone, such as 2030-01-31T08:00:00+08:00")}

    def to_internal_value(self, data: Any) -> dt.datetime:
        """Read it into UTC."""
        try:
            moment = parse_datetime(data) if isinstance(data, str) else None
            known = moment.astimezone(dt.UTC) if moment is not None and moment.tzinfo is not None else None
        except (ValueError, OverflowError):
            known = None
        if known is None:
            self.fail("invalid")
        return known

    def to_representation(self, value: dt.datetime) -> str:
        """Write it."""
        return rfc3339(value) or ""


class Link(Text):
    """An http(s) address."""

    default_error_messages = {"invalid_link": _("an address that begins with http:// or https://")}

    def to_internal_value(self, data: object) -> str:
        """Take an address a phone can open; nothing that runs."""
        value: str = super().to_internal_value(data)
        if value and (not re.match(r"https?://[^\s/]", value) or value.split() != [value]):
            self.fail("invalid_link")
        return value


class Colour(Text):
    """#RRGGBB."""

    default_error_messages = {"invalid_colour": _("a colour such as #1677FF")}

    def to_internal_value(self, data: object) -> str:
        """Take six hexadecimal digits."""
        value: str = super().to_internal_value(data)
        if value and not COLOUR.fullmatch(value):
            self.fail("invalid_colour")
        return value.upper()


class ActionSerializer(serializers.Serializer[Any]):
    """What the person may answer with, by number: a job for one of their agents."""

    label = Text(max_length=ACTION_LABEL_LENGTH)  # type: ignore[assignment]  # a field of ours, an attribute of theirs
    agent = Text(max_length=50, help_text="Name or alias of one of your agents.")
    message = Text(max_length=4096, help_text="The text of the job.")
    expires = serializers.IntegerField(
        required=False, min_value=60, max_value=30 * 86_400, help_text="Seconds; a day without it."
    )
    once = Flag(required=False, help_text="Off: it may be chosen again. On without it.")


class WishSerializer(serializers.Serializer[Any]):
    """A message."""

    text = Text(max_length=TEXT_LENGTH)
    title = Text(max_length=TITLE_LENGTH, required=False, allow_blank=True)
    format = serializers.ChoiceField(Format.choices, required=False, help_text="text without it.")
    level = serializers.ChoiceField(Level.choices, required=False, help_text="info without it.")
    source = Text(max_length=SOURCE_LENGTH, required=False, allow_blank=True)  # type: ignore[assignment]
    color = Colour(required=False, allow_blank=True, help_text="`#RRGGBB`; blue for info, red for the others.")
    url = Link(max_length=URL_LENGTH, required=False, allow_blank=True, help_text="Where the message leads.")
    mentions = serializers.ListField(
        child=Text(max_length=64), max_length=_MENTIONS_LIMIT, required=False, help_text="Names at the service; @all."
    )
    channels = serializers.ListField(
        child=Text(max_length=CHANNEL_NAME_LENGTH),
        max_length=_TARGETS_LIMIT,
        required=False,
        help_text="Names or ids: each gets it. Without them the first channel of the level that takes it.",
    )
    fallback = serializers.ListField(
        child=Text(max_length=CHANNEL_NAME_LENGTH),
        max_length=_TARGETS_LIMIT,
        required=False,
        help_text="Names or ids to try, in order, where one refuses.",
    )
    not_before = Moment(required=False, allow_null=True, help_text="Kept until then.")
    key = Text(
        max_length=KEY_LENGTH,
        required=False,
        allow_blank=True,
        help_text="What was sent under the same key and still waits is replaced.",
    )
    actions = serializers.ListField(child=ActionSerializer(), max_length=ACTIONS_LIMIT, required=False)


class QuickSerializer(serializers.Serializer[Any]):
    """A message of the original service."""

    message = serializers.CharField(max_length=TEXT_LENGTH)
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=SOURCE_LENGTH, required=False, allow_blank=True, help_text="Stands over the text."
    )
    color = serializers.CharField(required=False, allow_blank=True, help_text="`#RRGGBB`.")


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


class NewChannelSerializer(serializers.Serializer[Any]):
    """A channel to add."""

    name = Text(max_length=CHANNEL_NAME_LENGTH)
    driver = Text(max_length=32, help_text="The service; docs/channels.md lists them with their settings.")
    settings = serializers.DictField(child=serializers.JSONField(), required=False)
    levels = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Which messages go here by default; all without it."
    )


class ChannelChangeSerializer(serializers.Serializer[Any]):
    """What is to change; the rest stays."""

    name = Text(max_length=CHANNEL_NAME_LENGTH, required=False)
    settings = serializers.DictField(child=serializers.JSONField(), required=False)
    levels = serializers.ListField(child=serializers.CharField(), required=False)
    position = serializers.IntegerField(min_value=0, max_value=1000, required=False)
    enabled = Flag(required=False)
    quiet_from = serializers.TimeField(required=False, allow_null=True, format="%H:%M")
    quiet_until = serializers.TimeField(required=False, allow_null=True, format="%H:%M")


class ChannelJson(TypedDict):
    """A channel as its owner gets it; secrets never."""

    id: str
    name: str
    driver: str
    position: int
    levels: list[str]
    settings: dict[str, object]
    enabled: bool
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
    off_reason = serializers.CharField(help_text="What the service said when it was switched off; `owner`: you did.")
    off_at = serializers.DateTimeField(allow_null=True)
    quiet_from = serializers.CharField(allow_null=True)
    quiet_until = serializers.CharField(allow_null=True)
    last_sent_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


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


def wished(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked fields under the names of `Wish`."""
    actions = data.get("actions", ())
    return {
        "text": data["text"],
        "title": data.get("title", ""),
        "format": data.get("format", Format.TEXT),
        "level": data.get("level", Level.INFO),
        "source": data.get("source", ""),
        "colour": data.get("color", ""),
        "url": data.get("url", ""),
        "mentions": tuple(data.get("mentions", ())),
        "channels": tuple(data.get("channels", ())),
        "fallback": tuple(data.get("fallback", ())),
        "not_before": data.get("not_before"),
        "key": data.get("key", ""),
        "actions": tuple(
            {
                "label": action["label"],
                "agent": action["agent"],
                "text": action["message"],
                "expires_seconds": action.get("expires", 86_400),
                "once": action.get("once", True),
            }
            for action in actions
        ),
    }
