"""Deliveries and the signing secret as JSON, as `/deliveries` and `/callbacks` return them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from kernel.http.rest import Time
from notifications.models import DeliveryKind, DeliveryState


class OutboxSerializer(serializers.Serializer[Any]):
    """One row of the outbox: a message, callback or event for one target."""

    id = serializers.CharField(help_text="A callback's `webhook-id`.")
    kind = serializers.ChoiceField(DeliveryKind.choices)
    subject = serializers.CharField(help_text="`job:<id>`, `message:<id>`, or `channel:<id>`.")
    target = serializers.CharField(help_text="An address, a channel or a stream.")
    state = serializers.ChoiceField(DeliveryState.choices)
    tries = serializers.IntegerField()
    fault = serializers.CharField(help_text="retry, permanent, quota, window, auth; empty if nothing is wrong.")
    code = serializers.CharField(
        source="provider_code", help_text="The target's code; `shut`: it has answered 410 before."
    )
    due_at = Time(allow_null=True, help_text="The next attempt, if it has not ended.")
    created_at = Time()
    ended_at = Time(allow_null=True)


class OutboxPageSerializer(serializers.Serializer[Any]):
    """A page of deliveries, newest first."""

    items = OutboxSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class SecretSerializer(serializers.Serializer[Any]):
    """The secret that signs callbacks."""

    secret = serializers.CharField(help_text="`whsec_…`, as the libraries of Standard Webhooks take it.")
    old_until = Time(allow_null=True, help_text="Until then the old secret signs too.")
