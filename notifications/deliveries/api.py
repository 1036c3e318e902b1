"""/deliveries: list the outbox, replay a dead delivery; /callbacks/secret: the secret that signs callbacks."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import FullUser, caller
from kernel.errors import InvalidRequest, NotFound
from kernel.http.openapi import PAGE_QUERY, describe, query
from kernel.http.paging import read_cursor, read_limit, write_cursor
from kernel.http.rest import Operation, query_value
from kernel.keyset import slice_of
from kernel.transactions import run_one
from notifications.deliveries.replay import replay_delivery
from notifications.deliveries.signing import Rotation, rotate_secrets, secrets_of
from notifications.deliveries.wire import OutboxPageSerializer, OutboxSerializer, SecretSerializer
from notifications.models import Delivery, DeliveryKind, DeliveryState


class Deliveries(Operation):
    """/deliveries."""

    authentication_classes = (FullUser,)

    @describe(
        "deliveries_list",
        "List deliveries, newest first",
        answers={200: OutboxPageSerializer},
        parameters=[
            query("kind", "Only this kind.", enum=DeliveryKind.values),
            query("state", "Only this state; `dead` is given up.", enum=DeliveryState.values),
            query("subject", "Only about this, such as `job:<id>`."),
            *PAGE_QUERY,
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
        return Response({"items": OutboxSerializer(page.rows, many=True).data, "next": write_cursor(page.older)})


class DeliveryReplay(Operation):
    """/deliveries/{id}/replay."""

    authentication_classes = (FullUser,)

    @describe("deliveries_replay", "Replay a dead delivery", answers={200: OutboxSerializer}, errors=[NotFound])
    def post(self, request: Request, delivery_id: str) -> Response:
        """Attempt a `dead` delivery again from the start and return it; any other stays as it is.

        An address that has answered 410 is called again.
        """
        mine = Delivery.objects.visible_to(caller(request))
        delivery = mine.filter(pk=delivery_id).first()
        if delivery is None:
            raise NotFound
        replay_delivery(delivery)
        return Response(OutboxSerializer(mine.get(pk=delivery.pk)).data)


class CallbackSecret(Operation):
    """/callbacks/secret."""

    authentication_classes = (FullUser,)

    @describe("callbacks_secret", "Read the secret of your callbacks", answers={200: SecretSerializer})
    def get(self, request: Request) -> Response:
        """Return the secret that signs the caller's callbacks."""
        return Response(SecretSerializer(secrets_of(caller(request).owner_id)).data)

    @describe("callbacks_rotate", "Make a new secret for your callbacks", answers={201: SecretSerializer})
    def post(self, request: Request) -> Response:
        """Sign with a new secret from now on; the old one signs beside it for 24 hours."""
        principal = caller(request)
        secrets = run_one(rotate_secrets, Rotation(owner_id=principal.owner_id, actor=principal.actor))
        return Response(SecretSerializer(secrets).data, status=201)
