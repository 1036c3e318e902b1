"""Admin pages of messages, channels and the outbox. They show results, never a text or a key."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from kernel.http.staff import ReadOnlyAdmin
from kernel.visible import visible_line
from notifications.deliveries.replay import replay_delivery
from notifications.models import (
    Channel,
    ChatCredit,
    Delivery,
    Message,
    MessageAction,
    PaceMeter,
    ShutTarget,
    SigningSecret,
)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """Messages without their text, which belongs to the owner."""

    list_display = ("created_at", "owner", "level", "shown_source", "count", "not_before", "withdrawn_at")
    list_filter = ("level",)
    list_select_related = ("owner",)
    search_fields = ("=id", "=owner__username")
    ordering = ("-id",)
    fields = (
        "id", "owner", "level", "format", "shown_source", "agent_id", "count", "not_before", "withdrawn_at",
        "created_at",
    )  # fmt: skip
    readonly_fields = ("id", "shown_source")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """Read no texts from the database."""
        return super().get_queryset(request).defer("title", "text", "url")

    @admin.display(description=_("source"))
    def shown_source(self, message: Message) -> str:
        """Return the source on one visible line."""
        return visible_line(message.source)


@admin.register(MessageAction)
class MessageActionAdmin(ReadOnlyAdmin):
    """Actions of messages without their text, and whether each was taken."""

    list_display = ("message_id", "number", "once", "expires_at", "taken_at")
    search_fields = ("=message__id", "=message__owner__username")
    ordering = ("-id",)
    fields = ("id", "number", "once", "expires_at", "taken_at")
    readonly_fields = ("id",)


@admin.register(Channel)
class ChannelAdmin(ReadOnlyAdmin):
    """Channels without their settings, which stay sealed."""

    list_display = ("owner", "shown_name", "driver", "position", "enabled", "off_reason", "off_at", "last_sent_at")
    list_filter = ("driver", "enabled")
    list_select_related = ("owner",)
    search_fields = ("=id", "=owner__username", "=driver")
    ordering = ("owner", "position", "id")
    fields = (
        "id", "owner", "shown_name", "driver", "account", "position", "levels", "enabled", "off_reason", "off_at",
        "quiet_from", "quiet_until", "confirmed_at", "last_sent_at", "created_at", "changed_at",
    )  # fmt: skip
    readonly_fields = ("id", "shown_name")

    @admin.display(description=_("name"))
    def shown_name(self, channel: Channel) -> str:
        """Return the name on one visible line."""
        return visible_line(channel.name)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Deliveries and their results, without payloads."""

    list_display = (
        "created_at", "kind", "subject", "shown_target", "state", "tries", "fault", "shown_code", "due_at", "ended_at"
    )  # fmt: skip
    list_filter = ("state", "kind", "fault")
    search_fields = ("=id", "=subject", "=owner__username")
    ordering = ("-id",)
    fields = (
        "id", "owner", "kind", "subject", "shown_target", "channel", "way", "state", "tries", "lost_tries", "unheard",
        "due_at", "claimed_until", "fault", "shown_code", "provider_id", "reserved", "lane", "created_at", "ended_at",
    )  # fmt: skip
    readonly_fields = ("id", "shown_target", "shown_code")
    actions = ("replay",)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Allow a replay with the permission to change deliveries."""
        return request.user.has_perm("notifications.change_delivery")

    @admin.action(description=_("Send again what was given up"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Replay the selected deliveries that are dead."""
        count = sum(replay_delivery(delivery) for delivery in queryset)
        sentence = ngettext("%(count)s delivery is sent again.", "%(count)s deliveries are sent again.", count)
        self.message_user(request, sentence % {"count": count}, messages.SUCCESS)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """Read no payloads from the database."""
        return super().get_queryset(request).defer("payload")

    @admin.display(description=_("target"))
    def shown_target(self, delivery: Delivery) -> str:
        """Return the target; only the host of an address, because its path may be a key."""
        parts = urlsplit(delivery.target)
        return visible_line(f"{parts.scheme}://{parts.hostname}" if parts.hostname else delivery.target)

    @admin.display(description=_("provider's code"))
    def shown_code(self, delivery: Delivery) -> str:
        """Return the service's code on one visible line."""
        return visible_line(delivery.provider_code)


@admin.register(ChatCredit)
class ChatCreditAdmin(ReadOnlyAdmin):
    """Chat credits: the texts that a platform still takes for a person."""

    list_display = ("owner", "account", "used", "limit", "learned", "ends_at")
    list_select_related = ("owner",)
    search_fields = ("=owner__username", "=account")
    fields = ("owner", "account", "used", "limit", "learned", "refused_at", "ends_at")


@admin.register(PaceMeter)
class PaceMeterAdmin(ReadOnlyAdmin):
    """Recent uses of robots and bots, whose keys are digests."""

    list_display = ("key", "uses")
    search_fields = ("key",)
    fields = ("key", "uses")
    readonly_fields = ("uses",)

    @admin.display(description=_("times"))
    def uses(self, meter: PaceMeter) -> int:
        """Return the number of uses kept."""
        return len(meter.times)


@admin.register(SigningSecret)
class SigningSecretAdmin(ReadOnlyAdmin):
    """The age of each owner's signing secret; never the secret."""

    list_display = ("owner", "changed_at", "old_until")
    search_fields = ("=owner__username",)
    ordering = ("-changed_at",)
    fields = ("owner", "changed_at", "old_until")


@admin.register(ShutTarget)
class ShutTargetAdmin(ReadOnlyAdmin):
    """Owners whose callback addresses are shut; the addresses are digests."""

    list_display = ("owner", "shut_at")
    search_fields = ("=owner__username",)
    ordering = ("-id",)
    fields = ("id", "owner", "shut_at")
    readonly_fields = ("id",)
