"""Conversations for staff, without their contents: texts are encrypted, codes are hashed, and neither is shown."""

from __future__ import annotations

from django.contrib import admin

from chat.models import InboundMessage, Invitation, OneTimeCode, Question, WrongCodes
from kernel.http.staff import ReadOnlyAdmin


@admin.register(InboundMessage)
class InboundMessageAdmin(ReadOnlyAdmin):
    """Messages that platforms pushed."""

    list_display = ("came_at", "platform", "identity", "state")
    list_filter = ("platform", "state")
    list_select_related = ("identity",)
    fields = ("id", "platform", "identity", "state", "came_at")


@admin.register(OneTimeCode)
class OneTimeCodeAdmin(ReadOnlyAdmin):
    """Open one-time codes."""

    list_display = ("created_at", "kind", "owner", "expires_at", "approved_at")
    list_filter = ("kind",)
    list_select_related = ("owner",)
    fields = ("id", "kind", "owner", "created_at", "expires_at", "approved_at")


@admin.register(Question)
class QuestionAdmin(ReadOnlyAdmin):
    """Open questions."""

    list_display = ("owner", "place", "expires_at")
    list_select_related = ("owner",)
    fields = ("id", "owner", "place", "expires_at")


@admin.register(WrongCodes)
class WrongCodesAdmin(ReadOnlyAdmin):
    """Counts of wrong codes per chat."""

    list_display = ("place", "count", "since")


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    """People who joined by the poster of another."""

    list_display = ("at", "inviter", "invited")
    list_select_related = ("inviter", "invited")
