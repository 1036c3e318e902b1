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
from notifications.api.reading import ChannelChangeSerializer, NewChannelSerializer
from notifications.api.rendering import (
    ChannelListSerializer,
    ChannelSerializer,
    ChannelWithSecretsSerializer,
    MessageSerializer,
    channel_json,
    message_json,
)
from notifications.channels.service import (
    ChannelChange,
    ask_again,
    create_channel,
    delete_channel,
    find_channel,
    made_secrets,
    settings_of,
    update_channel,
)
from notifications.channels.trial import try_channel
from notifications.messages.read import read_message
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
        whole = principal.scope in FULL_SCOPE
        return Response({"items": [channel_json(channel, with_settings=whole) for channel in rows], "next": None})

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
        answer = {**channel_json(channel), "secrets": secrets}
        return Response(answer, status=201, headers={"Location": f"/channels/{channel.pk}"})


class OneChannel(Operation):
    """/channels/{id}, by id or name."""

    authentication_classes = (FullUser,)

    @describe("channels_read", "Read a channel", answers={200: ChannelSerializer}, errors=[ChannelNotFound])
    def get(self, request: Request, channel_id: str) -> Response:
        """Return a channel without its secrets."""
        return Response(channel_json(find_channel(viewer=caller(request), called=channel_id)))

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
        channel = find_channel(viewer=principal, called=channel_id)
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
        return Response({**channel_json(channel), "secrets": secrets})

    @describe("channels_delete", "Remove a channel", answers={204: None}, errors=[ChannelNotFound])
    def delete(self, request: Request, channel_id: str) -> Response:
        """Remove a channel; what waits for it is tried on the next one of its chain."""
        principal = caller(request)
        delete_channel(channel=find_channel(viewer=principal, called=channel_id), actor=principal.actor)
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
        channel = find_channel(viewer=caller(request), called=channel_id)
        ask_again(channel=channel)
        return Response(channel_json(channel))


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
        channel = find_channel(viewer=principal, called=channel_id)
        message = try_channel(channel)
        return Response(message_json(read_message(viewer=principal, message_id=message.pk)), status=201)
