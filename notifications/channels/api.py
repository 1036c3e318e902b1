"""/channels: the ways to reach a person."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import FullUser, MessagesUser, caller
from accounts.credentials import FULL_SCOPE
from kernel.errors import ChannelNotFound, InvalidRequest, LimitExceeded, NameTaken
from kernel.http.openapi import describe
from kernel.http.rest import Operation, checked
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
        """Let tokens for messages read, because they name channels; only full ones change."""
        return [MessagesUser() if self.request is not None and self.request.method == "GET" else FullUser()]

    @describe(
        "channels_list", "List channels, in the order in which they are tried", answers={200: ChannelListSerializer}
    )
    def get(self, request: Request) -> Response:
        """Return all of the caller's channels, without their secrets; a token for messages sees no settings at all."""
        principal = caller(request)
        rows = Channel.objects.visible_to(principal).in_order()
        context = {"with_settings": principal.scope in FULL_SCOPE}
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

        A mailbox is asked by a mail: until whoever reads it has agreed the channel is not `verified` and takes nothing.
        """
        principal = caller(request)
        fields = checked(NewChannelSerializer(data=self.read_body(request)))
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
        """Change what is given, of `settings` too: what is left out there stays, null removes it. One that is switched
        on again is tried again. A mailbox with another address is asked anew.
        """
        principal = caller(request)
        fields = checked(ChannelChangeSerializer(data=self.read_body(request)))
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
        """Remove a channel; what waits for it is tried on the next one of its chain."""
        principal = caller(request)
        delete_channel(channel=find_channel(viewer=principal, name_or_id=channel_id), actor=principal.actor)
        return Response(status=204)


class ChannelConfirmation(Operation):
    """/channels/{id}/confirmation."""

    authentication_classes = (FullUser,)

    @describe(
        "channels_ask",
        "Ask a mailbox again",
        answers={200: ChannelSerializer},
        errors=[ChannelNotFound, InvalidRequest, LimitExceeded],
    )
    def post(self, request: Request, channel_id: str) -> Response:
        """Send the mail once more in which whoever reads it can agree, and answer with the channel. One that is
        `verified` is answered as it is. A mailbox is asked once a minute and five times a day at most.
        """
        channel = find_channel(viewer=caller(request), name_or_id=channel_id)
        ask_again(channel=channel)
        return Response(ChannelSerializer(channel).data)


class ChannelTest(Operation):
    """/channels/{id}/test."""

    authentication_classes = (FullUser,)

    @describe(
        "channels_test",
        "Try a channel",
        answers={201: MessageSerializer},
        errors=[ChannelNotFound, LimitExceeded],
    )
    def post(self, request: Request, channel_id: str) -> Response:
        """Send a message to this channel alone, and answer with it: `GET /messages/{id}` tells what became of it."""
        principal = caller(request)
        channel = find_channel(viewer=principal, name_or_id=channel_id)
        message = try_channel(channel)
        return Response(MessageSerializer(read_message(viewer=principal, message_id=message.pk)).data, status=201)
