"""/deliveries: what was told to whom, and once more what was given up; /callbacks/secret: how callbacks are signed."""

from __future__ import annotations

from typing import Any, TypedDict

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import FullUser, caller
from kernel.alone import run_alone
from kernel.clock import rfc3339
from kernel.errors import InvalidRequest, NotFound
from kernel.http.openapi import describe, query
from kernel.http.paging import read_cursor, read_limit, write_cursor
from kernel.http.rest import Operation, query_value
from kernel.keyset import slice_of
from notifications.deliveries.outbox import replay_delivery
from notifications.deliveries.signing import Rotation, Secrets, rotate_secrets, secrets_of
from notifications.models import Delivery, DeliveryKind, DeliveryState


class OutboxJson(TypedDict):
    """One thing told to one target."""

    id: str
    kind: str
    subject: str
    target: str
    state: str
    tries: int
    fault: str
    code: str
    due_at: str | None
    created_at: str | None
    ended_at: str | None


class OutboxSerializer(serializers.Serializer[Any]):
    """One thing told to one target."""

    id = serializers.CharField(help_text="Of a callback: its `webhook-id`.")
    kind = serializers.ChoiceField(DeliveryKind.choices)
    subject = serializers.CharField(help_text="What it is about: `job:<id>`, `message:<id>`, or `channel:<id>`.")
    target = serializers.CharField(help_text="An address, a channel or a stream.")
    state = serializers.ChoiceField(DeliveryState.choices)
    tries = serializers.IntegerField()
    fault = serializers.CharField(help_text="retry, permanent, quota, window, auth; empty where nothing is wrong.")
    code = serializers.CharField(help_text="What the target said; `shut`: it has answered 410 before.")
    due_at = serializers.DateTimeField(allow_null=True, help_text="When it is tried next, if it has not ended.")
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class OutboxPageSerializer(serializers.Serializer[Any]):
    """A page of deliveries, newest first."""

    items = OutboxSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class SecretSerializer(serializers.Serializer[Any]):
    """What callbacks are signed with."""

    secret = serializers.CharField(help_text="`whsec_…`, as the libraries of Standard Webhooks take it.")
    old_until = serializers.DateTimeField(allow_null=True, help_text="Until then the secret before it signs too.")


def outbox_json(delivery: Delivery) -> OutboxJson:
    """Render a delivery."""
    return {
        "id": delivery.pk,
        "kind": str(delivery.kind),
        "subject": delivery.subject,
        "target": delivery.target,
        "state": str(delivery.state),
        "tries": delivery.tries,
        "fault": delivery.fault,
        "code": delivery.provider_code,
        "due_at": rfc3339(delivery.due_at),
        "created_at": rfc3339(delivery.created_at),
        "ended_at": rfc3339(delivery.ended_at),
    }


class Deliveries(Operation):
    """/deliveries."""

    authentication_classes = (FullUser,)

    @describe(
        "deliveries_list",
        "List what was told to whom, newest first",
        answers={200: OutboxPageSerializer},
        parameters=[
            query("kind", "Only this kind.", enum=DeliveryKind.values),
            query("state", "Only those that stand there; `dead`: given up.", enum=DeliveryState.values),
            query("subject", "Only about this, such as `job:<id>`."),
            query("limit", "How many, 1 to 100; 50 without it.", int),
            query("cursor", "`next` of the page before."),
        ],
    )
    def get(self, request: Request) -> Response:
        """Return a page of the caller's deliveries. Callbacks are kept for 30 days after their end."""
        rows = Delivery.objects.visible_to(caller(request))
        for name, words in (("kind", DeliveryKind.values), ("state", DeliveryState.values), ("subject", None)):
            value = query_value(request, name)
            if value is None:
                continue
            if words is not None and value not in words:
                raise InvalidRequest(
                    _("%(field)s is one of: %(words)s."), params={"field": name, "words": ", ".join(words)}
                )
            rows = rows.filter(**{name: value})
        page = slice_of(rows, before=read_cursor(request), size=read_limit(request))
        return Response({"items": [outbox_json(row) for row in page.rows], "next": write_cursor(page.older)})


class DeliveryReplay(Operation):
    """/deliveries/{id}/replay."""

    authentication_classes = (FullUser,)

    @describe(
        "deliveries_replay", "Tell once more what was given up", answers={200: OutboxSerializer}, errors=[NotFound]
    )
    def post(self, request: Request, delivery_id: str) -> Response:
        """Begin anew with a delivery that is `dead`, and answer with it; any other stays as it is.

        An address that had answered 410 is called again from now on.
        """
        mine = Delivery.objects.visible_to(caller(request))
        delivery = mine.filter(pk=delivery_id).first()
        if delivery is None:
            raise NotFound
        replay_delivery(delivery)
        return Response(outbox_json(mine.get(pk=delivery.pk)))


class CallbackSecret(Operation):
    """/callbacks/secret."""

    authentication_classes = (FullUser,)

    @describe("callbacks_secret", "Read the secret of your callbacks", answers={200: SecretSerializer})
    def get(self, request: Request) -> Response:
        """Return what every callback of the caller is signed with."""
        return Response(_secret_json(secrets_of(caller(request).owner_id)))

    @describe("callbacks_rotate", "Make a new secret for your callbacks", answers={201: SecretSerializer})
    def post(self, request: Request) -> Response:
        """Sign with a new secret from now on, and for 24 hours with the one before it too."""
        principal = caller(request)
        wish = Rotation(owner_id=principal.owner_id, actor=principal.actor)
        return Response(_secret_json(run_alone(rotate_secrets, wish)), status=201)


def _secret_json(secrets: Secrets) -> dict[str, str | None]:
    return {"secret": secrets.secret, "old_until": rfc3339(secrets.old_until)}
