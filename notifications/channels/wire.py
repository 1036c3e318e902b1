"""Channels as JSON: the bodies of `/channels`, and a channel as the API returns it, without its secrets."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils.dateparse import parse_time
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kernel.errors import InvalidRequest
from kernel.http.bodies import Description, check_text
from kernel.http.rest import Flag, Text, Time
from notifications.channels.confirming import needs_confirmation
from notifications.channels.settings import settings_of
from notifications.drivers.registry import all_drivers, driver_of
from notifications.models import CHANNEL_NAME_LENGTH, Channel, Level


@extend_schema_field(OpenApiTypes.STR)  # `format: time` would ask for a zone
class _ClockTime(serializers.TimeField):
    pattern = r"^([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?$"

    def read_value(self, value: object, name: str) -> dt.time:
        """Return a time of day."""
        try:
            time = parse_time(value) if isinstance(value, str) else None
        except ValueError:
            time = None
        if time is None:
            raise InvalidRequest(_("%(field)s must be a time of day such as 22:30."), params={"field": name})
        return time


@extend_schema_field(
    {"type": "string", "enum": [name for name, driver in all_drivers().items() if not driver.personal]}
)
class _DriverName(Text):
    pass


class _LevelName(serializers.ChoiceField):
    def read_value(self, value: object, name: str) -> str:
        """Return a text; the service refuses an unknown level."""
        return check_text(value, name)


class NewChannelSerializer(Description):
    """A channel to add."""

    name = Text(max_length=CHANNEL_NAME_LENGTH)
    driver = _DriverName(max_length=32, help_text="The service; docs/channels.md lists them with their settings.")
    settings = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False, help_text="The fields of the service's form."
    )
    levels = serializers.ListField(
        child=_LevelName(Level.choices),
        required=False,
        help_text="Levels of messages that go here by default; all without it.",
    )


class ChannelChangeSerializer(Description):
    """Changes to a channel; a missing field keeps its value."""

    name = Text(max_length=CHANNEL_NAME_LENGTH, required=False)
    settings = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        required=False,
        help_text="A missing setting keeps its value, a secret too; null removes it.",
    )
    levels = serializers.ListField(child=_LevelName(Level.choices), required=False)
    position = serializers.IntegerField(min_value=0, max_value=1000, required=False)
    enabled = Flag(required=False)
    quiet_from = _ClockTime(required=False, allow_null=True)
    quiet_until = _ClockTime(required=False, allow_null=True)


class _PublicSettings(serializers.DictField):
    def to_representation(self, channel: Any) -> dict[str, Any]:
        """Leave out secrets, and all settings if the context says `with_settings` is off."""
        if not self.context.get("with_settings", True):
            return {}
        secret = driver_of(channel.driver).secret_fields()
        return {name: value for name, value in settings_of(channel).items() if name not in secret}


class _Verified(serializers.BooleanField):
    def to_representation(self, channel: Any) -> bool:
        """Tell whether the channel needs no confirmation any more."""
        return not needs_confirmation(channel)


class _Clock(serializers.CharField):
    def to_representation(self, value: Any) -> str:
        """Write hours and minutes of a time."""
        return f"{value:%H:%M}"


class ChannelSerializer(serializers.Serializer[Any]):
    """A channel."""

    id = serializers.CharField()
    name = serializers.CharField()
    driver = serializers.CharField()
    position = serializers.IntegerField(help_text="The lowest is tried first.")
    levels = serializers.ListField(child=serializers.ChoiceField(Level.choices))
    settings = _PublicSettings(source="*", help_text="Without the secrets.")
    enabled = serializers.BooleanField()
    verified = _Verified(
        source="*",
        help_text="Off: a mailbox that is not confirmed yet. Only the confirmation mail is sent there.",
    )
    off_reason = serializers.CharField(
        help_text="The service's code when it was switched off; `owner`: you switched it off."
    )
    off_at = Time(allow_null=True)
    quiet_from = _Clock(allow_null=True)
    quiet_until = _Clock(allow_null=True)
    last_sent_at = Time(allow_null=True)
    created_at = Time()


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


def channel_with_secrets(channel: Channel, secrets: dict[str, object]) -> dict[str, Any]:
    """Return a channel as JSON, with the secrets that this server has just made for it."""
    return {**ChannelSerializer(channel).data, "secrets": secrets}
