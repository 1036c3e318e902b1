"""/channels: the ways to reach a person."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import FullUser, MessagesUser, caller
from accounts.power import Power, may
from kernel.errors import ChannelNotFound, InvalidRequest, LimitExceeded, NameTaken
from kernel.http.bodies import checked_body
from kernel.http.openapi import describe
from kernel.http.rest import Operation
from notifications.channels.confirming import ask_again
from notifications.channels.service import ChannelChange, create_channel, delete_channel, find_channel, update_channel
from notifications.channels.settings import made_secrets, settings_of
from notifications.channels.trial import try_channel
from notifications.channels.wire import (
    ChannelChangeSerializer,
    ChannelListSerializer,
    ChannelSerializer,
    ChannelWithSecretsSerializer,
    NewChannelSerializer,
    channel_with_secrets,
)
from notifications.messages.read import read_message
from notifications.messages.wire import MessageSerializer
from notifications.models import Channel, Level


class Channels(Operation):
    """/channels."""

    def get_authenticators(self) -> list[Any]:
        """Let tokens for messages read, because they name channels; changes need a full token."""
        return [MessagesUser() if self.request is not None and self.request.method == "GET" else FullUser()]

    @describe(
        "channels_list", "List channels, in the order in which they are tried", answers={200: ChannelListSerializer}
    )
    def get(self, request: Request) -> Response:
        """Return the caller's channels without secrets; with a token for messages also without settings."""
        principal = caller(request)
        rows = Channel.objects.visible_to(principal).in_order()
        context = {"with_settings": may(principal.holder, Power.MANAGE)}
        return Response({"items": ChannelSerializer(rows, many=True, context=context).data, "next": None})

    @describe(
        "channels_create",
        "Add a channel",
        answers={201: ChannelWithSecretsSerializer},
        errors=[NameTaken, LimitExceeded],
        request=NewChannelSerializer,
    )
    def post(self, request: Request) -> Response:
        """Add a channel behind the others. A secret that this server has made for it is shown this once.

        A mailbox must be confirmed by the link in a mail: until then the channel is not `verified` and takes nothing.
        """
        principal = caller(request)
        fields = checked_body(NewChannelSerializer, self.read_body(request))
        given = fields.get("settings", {})
        channel = create_channel(
            owner_id=principal.owner_id,
            name=fields["name"],
            driver=fields["driver"],
            settings=given,
            levels=fields.get("levels", Level.values),
            actor=principal.actor,
        )
        secrets = made_secrets(channel.driver, before={}, given=given, after=settings_of(channel))
        location = {"Location": f"/channels/{channel.pk}"}
        return Response(channel_with_secrets(channel, secrets), status=201, headers=location)


class OneChannel(Operation):
    """/channels/{id}, by id or name."""

    authentication_classes = (FullUser,)

    @describe("channels_read", "Read a channel", answers={200: ChannelSerializer}, errors=[ChannelNotFound])
    def get(self, request: Request, channel_id: str) -> Response:
        """Return a channel without its secrets."""
        return Response(ChannelSerializer(find_channel(viewer=caller(request), name_or_id=channel_id)).data)

    @describe(
        "channels_update",
        "Change a channel",
        answers={200: ChannelWithSecretsSerializer},
        errors=[ChannelNotFound, NameTaken, LimitExceeded],
        request=ChannelChangeSerializer,
    )
    def patch(self, request: Request, channel_id: str) -> Response:
        """Change the fields that are sent. In `settings`, a missing name keeps its value and null removes it.

        A channel that is enabled again is tried again. A new address of a mailbox must be confirmed again.
        """
        principal = caller(request)
        fields = checked_body(ChannelChangeSerializer, self.read_body(request))
        channel = find_channel(viewer=principal, name_or_id=channel_id)
        quiet = fields.keys() & {"quiet_from", "quiet_until"}
        if quiet and (len(quiet) == 1 or (fields["quiet_from"] is None) != (fields["quiet_until"] is None)):
            raise InvalidRequest(gettext_lazy("Send quiet_from and quiet_until together."))
        change = ChannelChange(
            name=fields.get("name"),
            settings=fields.get("settings"),
            levels=fields.get("levels"),
            position=fields.get("position"),
            enabled=fields.get("enabled"),
            quiet=(fields["quiet_from"], fields["quiet_until"]) if quiet else None,
        )
        before, given = settings_of(channel), change.settings or {}
        channel = update_channel(channel=channel, change=change, actor=principal.actor)
        secrets = made_secrets(channel.driver, before=before, given=given, after=settings_of(channel))
        return Response(channel_with_secrets(channel, secrets))

    @describe("channels_delete", "Remove a channel", answers={204: None}, errors=[ChannelNotFound])
    def delete(self, request: Request, channel_id: str) -> Response:
        """Remove a channel; its waiting deliveries fall back to the next channel of their message."""
        principal = caller(request)
        delete_channel(channel=find_channel(viewer=principal, name_or_id=channel_id), actor=principal.actor)
        return Response(status=204)


class ChannelConfirmation(Operation):
    """/channels/{id}/confirmation."""

    authentication_classes = (FullUser,)

    @describe(
        "channels_ask",
        "Send the confirmation mail again",
        answers={200: ChannelSerializer},
        errors=[ChannelNotFound, InvalidRequest, LimitExceeded],
    )
    def post(self, request: Request, channel_id: str) -> Response:
        """Send the confirmation mail again and return the channel; do nothing if it is `verified`.

        At most one mail a minute and five a day go to a mailbox.
        """
        channel = find_channel(viewer=caller(request), name_or_id=channel_id)
        ask_again(channel=channel)
        return Response(ChannelSerializer(channel).data)


class ChannelTest(Operation):
    """/channels/{id}/test."""

    authentication_classes = (FullUser,)

    @describe(
        "channels_test",
        "Test a channel",
        answers={201: MessageSerializer},
        errors=[ChannelNotFound, LimitExceeded],
    )
    def post(self, request: Request, channel_id: str) -> Response:
        """Send a test message to this channel only and return it; `GET /messages/{id}` shows its result later."""
        principal = caller(request)
        channel = find_channel(viewer=principal, name_or_id=channel_id)
        message = try_channel(channel)
        return Response(MessageSerializer(read_message(viewer=principal, message_id=message.pk)).data, status=201)
