"""/messages: send a message with all its fields, read its result, withdraw it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import FullUser, MessagesUser, allowed_body, caller
from kernel.errors import ChannelNotFound, IdempotencyMismatch, InvalidRequest, LimitExceeded, NoChannel, NotFound
from kernel.http.bodies import checked_body
from kernel.http.idempotency import read_idempotency_key
from kernel.http.openapi import PAGE_QUERY, describe, idempotency_header, query
from kernel.http.paging import read_cursor, read_limit, write_cursor
from kernel.http.rest import Operation, query_value
from kernel.idempotency import callers_key
from kernel.transactions import run_one
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.messages.read import list_messages, read_message, withdraw_message
from notifications.messages.wire import (
    MessagePageSerializer,
    MessageSerializer,
    NewMessageSerializer,
    new_message_fields,
)
from notifications.models import Level


class Messages(Operation):
    """/messages."""

    def get_authenticators(self) -> list[Any]:
        """Let tokens for messages send; reading needs a full token."""
        return [MessagesUser() if self.request is not None and self.request.method == "POST" else FullUser()]

    @describe(
        "messages_create",
        "Send a message",
        answers={201: MessageSerializer},
        errors=[ChannelNotFound, IdempotencyMismatch, LimitExceeded, NoChannel],
        request=NewMessageSerializer,
        parameters=[idempotency_header("1 to 255 characters. The same request with the same key sends nothing again.")],
    )
    def post(self, request: Request) -> Response:
        """Store a message and return it; its deliveries show the result later.

        A new message under the same `key` replaces one that still waits. `actions` need a token that may send jobs,
        because an answer starts one: else 403.
        """
        principal = caller(request)
        body = allowed_body(request, self.read_body(request))
        fields = new_message_fields(checked_body(NewMessageSerializer, body))
        key = callers_key(principal.actor, read_idempotency_key(request.headers.get("Idempotency-Key")))
        requested = NewMessage(owner_id=principal.owner_id, **fields, idempotency_key=key, must_reach=True)
        message = run_one(accept_messages, requested)
        stored = MessageSerializer(read_message(viewer=principal, message_id=message.pk))
        return Response(stored.data, status=201, headers={"Location": f"/messages/{message.pk}"})

    @describe(
        "messages_list",
        "List messages, newest first",
        answers={200: MessagePageSerializer},
        parameters=[
            query("level", "Only messages of this level.", enum=Level.values),
            *PAGE_QUERY,
        ],
    )
    def get(self, request: Request) -> Response:
        """Return a page of the caller's messages. A token for messages may not read: 403."""
        level = query_value(request, "level")
        if level is not None and level not in Level.values:
            raise InvalidRequest(_("level is one of: %(words)s."), params={"words": ", ".join(Level.values)})
        page = list_messages(
            viewer=caller(request), level=level or "", before=read_cursor(request), size=read_limit(request)
        )
        return Response({"items": MessageSerializer(page.rows, many=True).data, "next": write_cursor(page.older)})


class OneMessage(Operation):
    """/messages/{id}."""

    authentication_classes = (FullUser,)

    @describe("messages_read", "Read a message", answers={200: MessageSerializer}, errors=[NotFound])
    def get(self, request: Request, message_id: str) -> Response:
        """Return a message with its deliveries. A token for messages may not read, not even its own: 403."""
        return Response(MessageSerializer(read_message(viewer=caller(request), message_id=message_id)).data)

    @describe("messages_withdraw", "Withdraw a message", answers={200: MessageSerializer}, errors=[NotFound])
    def delete(self, request: Request, message_id: str) -> Response:
        """Withdraw what has not been sent of a message, and return the message."""
        return Response(MessageSerializer(withdraw_message(viewer=caller(request), message_id=message_id)).data)
