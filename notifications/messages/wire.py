"""Messages as JSON: the bodies of `/messages`, and a message with its deliveries as the API returns it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from kernel.errors import InvalidRequest
from kernel.http.bodies import Description, check_text
from kernel.http.rest import Flag, Text, Time
from notifications.drivers.registry import driver_of
from notifications.messages.new_message import ActionRequest
from notifications.models import (
    ACTION_LABEL_LENGTH,
    ACTIONS_LIMIT,
    CHANNEL_NAME_LENGTH,
    KEY_LENGTH,
    SOURCE_LENGTH,
    TEXT_LENGTH,
    TITLE_LENGTH,
    URL_LENGTH,
    DeliveryState,
    Format,
    Level,
    Message,
)

COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_MENTIONS_LIMIT = 50
_TARGETS_LIMIT = 20


class _Link(Text):
    pattern = r"^https?://[^\s/]\S*$"

    def read_value(self, value: object, name: str) -> str:
        """Return an address that a phone can open, and none that runs code."""
        url = check_text(value, name, limit=URL_LENGTH)
        if url and (not re.match(r"https?://[^\s/]", url) or url.split() != [url]):
            raise InvalidRequest(
                _("%(field)s must be an address that begins with http:// or https://."), params={"field": name}
            )
        return url


class _Colour(Text):
    pattern = "^#[0-9A-Fa-f]{6}$"

    def read_value(self, value: object, name: str) -> str:
        """Return a colour in capitals."""
        colour = check_text(value, name)
        if colour and not COLOUR.fullmatch(colour):
            raise InvalidRequest(_("%(field)s must be a colour such as #1677FF."), params={"field": name})
        return colour.upper()


class ActionSerializer(Description):
    """A job for one of the person's agents, started by answering with its number."""

    label = Text(max_length=ACTION_LABEL_LENGTH)  # type: ignore[assignment]  # our field, an attribute of DRF's
    agent = Text(max_length=50, help_text="Name or alias of one of your agents.")
    message = Text(max_length=4096, source="text", help_text="The text of the job.")
    expires = serializers.IntegerField(
        required=False,
        min_value=60,
        max_value=30 * 86_400,
        source="expires_seconds",
        help_text="Seconds; a day without it.",
    )
    once = Flag(required=False, help_text="Off: it may be taken again. On without it.")


@extend_schema_serializer(component_name="Wish")
class NewMessageSerializer(Description):
    """A message."""

    text = Text(max_length=TEXT_LENGTH)
    title = Text(max_length=TITLE_LENGTH, required=False, allow_blank=True)
    format = serializers.ChoiceField(Format.choices, required=False, help_text="text without it.")
    level = serializers.ChoiceField(Level.choices, required=False, help_text="info without it.")
    source = Text(max_length=SOURCE_LENGTH, required=False, allow_blank=True)  # type: ignore[assignment]
    color = _Colour(
        required=False, allow_blank=True, source="colour", help_text="`#RRGGBB`; blue for info, red for the others."
    )
    url = _Link(max_length=URL_LENGTH, required=False, allow_blank=True, help_text="A link shown with the message.")
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
        help_text="Names or ids to try, in order, if a channel refuses.",
    )
    not_before = Time(required=False, allow_null=True, help_text="The earliest time of sending.")
    key = Text(
        max_length=KEY_LENGTH,
        required=False,
        allow_blank=True,
        help_text="A message under the same key that still waits is replaced.",
    )
    actions = serializers.ListField(child=ActionSerializer(), max_length=ACTIONS_LIMIT, required=False)


class _NotBlank(serializers.CharField):
    pattern = r"\S"


class QuickSerializer(serializers.Serializer[Any]):
    """A message of the original service."""

    message = _NotBlank(max_length=TEXT_LENGTH)
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=SOURCE_LENGTH, required=False, allow_blank=True, help_text="Shown above the text."
    )
    color = _Colour(required=False, allow_blank=True, help_text="`#RRGGBB`.")


def new_message_fields(checked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked fields of a body as NewMessage takes them."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in checked.items()}
    if "actions" in fields:
        fields["actions"] = tuple(ActionRequest(**action) for action in fields["actions"])
    return fields


class EmptyAsNull(serializers.CharField):
    """A text that is null in JSON if it is empty."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_representation(self, value: str) -> Any:
        """Write null for an empty text."""
        return value or None


class _Meaning(serializers.CharField):
    def to_representation(self, delivery: Any) -> str:
        """Explain a delivery's code as its channel's driver does."""
        channel, code = delivery.channel, delivery.provider_code
        return str(driver_of(channel.driver).explain(code)) if channel and code else ""


class DeliverySerializer(serializers.Serializer[Any]):
    """One delivery of a message, on one channel."""

    id = serializers.CharField()
    channel_id = serializers.CharField(allow_null=True)
    channel = serializers.CharField(allow_null=True, source="channel.name")
    way = serializers.CharField(help_text="`template` or `text` for WeChat.")
    state = serializers.ChoiceField(DeliveryState.choices)
    tries = serializers.IntegerField()
    fault = serializers.CharField(help_text="retry, permanent, quota, window, auth; empty if nothing is wrong.")
    code = serializers.CharField(source="provider_code", help_text="The service's code.")
    meaning = _Meaning(source="*", help_text="The meaning of the code.")
    provider_id = serializers.CharField()
    due_at = Time(allow_null=True)
    created_at = Time()
    ended_at = Time(allow_null=True)


class GivenActionSerializer(serializers.Serializer[Any]):
    """An action, and whether it was taken."""

    number = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]
    agent = serializers.CharField()
    message = serializers.CharField(source="text")
    once = serializers.BooleanField()
    expires_at = Time()
    taken_at = Time(allow_null=True)


class MessageSerializer(serializers.Serializer[Any]):
    """A message with its deliveries."""

    id = serializers.CharField()
    title = serializers.CharField()
    text = serializers.CharField()
    format = serializers.ChoiceField(Format.choices)
    level = serializers.ChoiceField(Level.choices)
    source = serializers.CharField()  # type: ignore[assignment]
    color = serializers.CharField(source="colour")
    url = serializers.CharField()
    mentions = serializers.ListField(child=serializers.CharField())
    agent_id = EmptyAsNull(help_text="The agent that sent it.")
    key = serializers.CharField()
    count = serializers.IntegerField(help_text="How many equal messages within a few seconds it stands for.")
    state = serializers.ChoiceField(["stored", *DeliveryState.values], help_text="`sent` when every target has it.")
    not_before = Time(allow_null=True)
    withdrawn_at = Time(allow_null=True)
    created_at = Time()
    actions = GivenActionSerializer(many=True)
    deliveries = DeliverySerializer(many=True)


class MessagePageSerializer(serializers.Serializer[Any]):
    """A page of messages, newest first."""

    items = MessageSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class MessageNewsSerializer(serializers.Serializer[Any]):
    """A message that was accepted."""

    id = serializers.CharField()
    user_id = serializers.CharField(source="owner_id")
    agent_id = EmptyAsNull()
    level = serializers.ChoiceField(choices=Level.choices)
    title = serializers.CharField()
    text = serializers.CharField()
    format = serializers.ChoiceField(choices=Format.choices)
    source = serializers.CharField()  # type: ignore[assignment]
    color = serializers.CharField(source="colour")
    url = serializers.CharField()
    created_at = Time()


def message_news(message: Message) -> dict[str, str | None]:
    """Return a message as events and the stream of news report it."""
    return dict(MessageNewsSerializer(message).data)
