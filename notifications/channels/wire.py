"""What the calls about messages and channels take: one serializer for each shape."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kernel.clock import rfc3339
from kernel.http.rest import Flag, Text
from notifications.models import (
    ACTION_LABEL_LENGTH,
    ACTIONS_LIMIT,
    CHANNEL_NAME_LENGTH,
    KEY_LENGTH,
    SOURCE_LENGTH,
    TEXT_LENGTH,
    TITLE_LENGTH,
    URL_LENGTH,
    Format,
    Level,
)

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


class NewChannelSerializer(serializers.Serializer[Any]):
    """A channel to add."""

    name = Text(max_length=CHANNEL_NAME_LENGTH)
    driver = Text(max_length=32, help_text="The service; docs/channels.md lists them with their settings.")
    settings = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False, help_text="What the service's form asks for."
    )
    levels = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Which messages go here by default; all without it."
    )


class ChannelChangeSerializer(serializers.Serializer[Any]):
    """What is to change; the rest stays."""

    name = Text(max_length=CHANNEL_NAME_LENGTH, required=False)
    settings = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        required=False,
        help_text="What is left out stays as it is, a secret too; null removes it.",
    )
    levels = serializers.ListField(child=serializers.CharField(), required=False)
    position = serializers.IntegerField(min_value=0, max_value=1000, required=False)
    enabled = Flag(required=False)
    quiet_from = serializers.TimeField(required=False, allow_null=True, format="%H:%M")
    quiet_until = serializers.TimeField(required=False, allow_null=True, format="%H:%M")


def wished(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked fields under the names of `NewMessage`."""
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
