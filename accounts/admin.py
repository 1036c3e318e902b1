"""People, tokens, audit and quotas for staff. A token's digest and its sealed form are never shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.models import AuditEntry, ChatIdentity, QuotaUse, User, UserToken
from accounts.services.audit import record_audit
from accounts.services.users import set_frozen
from kernel.clock import database_now
from kernel.http.staff import ReadOnlyAdmin


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Add and change people. Freezing and thawing are actions. People are never deleted, because history names them."""

    list_display = ("username", "email", "is_active", "is_staff", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "email", "first_name", "last_name")
    actions = ("freeze", "thaw")
    readonly_fields = ("is_active", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password", "email", "first_name", "last_name")}),
        (_("Quotas"), {"fields": ("bonus_agents",)}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Let only superusers change rights; other staff could give themselves more."""
        rights = () if _is_superuser(request) else ("is_staff", "is_superuser", "groups", "user_permissions")
        return (*self.readonly_fields, *rights)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let only superusers change superusers, because setting a password takes over the account."""
        may = super().has_change_permission(request, obj)
        return may and (obj is None or not obj.is_superuser or _is_superuser(request))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Never: freeze instead."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        """Save, and write an audit entry with the names of the changed fields."""
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            record_audit(
                actor=_actor(request),
                action="user.change" if change else "user.create",
                subject=f"user:{obj.pk}",
                now=database_now(),
                details={"fields": [str(name) for name in form.changed_data if "password" not in name]},
            )

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        """Set a password as Django does, and write an audit entry."""
        before = User.objects.filter(pk=id).values_list("password", flat=True).first()
        answer = super().user_change_password(request, id, form_url)
        if before != User.objects.filter(pk=id).values_list("password", flat=True).first():
            record_audit(actor=_actor(request), action="user.set_password", subject=f"user:{id}", now=database_now())
        return answer

    @admin.action(description=_("Freeze: no login, no token works, open jobs are canceled"), permissions=["change"])
    def freeze(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Freeze the selected people, except the caller; only superusers freeze superusers."""
        others = [user for user in queryset if user.pk != request.user.pk and self.has_change_permission(request, user)]
        for user in others:
            set_frozen(user=user, frozen=True, actor=_actor(request))
        self._tell(
            request, ngettext("%(count)s person is frozen.", "%(count)s people are frozen.", len(others)), others
        )

    @admin.action(description=_("Thaw: may log in and send again"), permissions=["change"])
    def thaw(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Thaw the selected people."""
        chosen = [user for user in queryset if self.has_change_permission(request, user)]
        for user in chosen:
            set_frozen(user=user, frozen=False, actor=_actor(request))
        self._tell(
            request, ngettext("%(count)s person is thawed.", "%(count)s people are thawed.", len(chosen)), chosen
        )

    def _tell(self, request: HttpRequest, sentence: str, users: list[User]) -> None:
        self.message_user(request, sentence % {"count": len(users)}, messages.SUCCESS if users else messages.WARNING)


@admin.register(UserToken)
class UserTokenAdmin(ReadOnlyAdmin):
    """The tokens of users, without their digests. People make and revoke their own."""

    list_display = ("prefix", "user", "scope", "remark", "created_at", "revoked_at")
    list_filter = ("scope", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("prefix", "=user__username")
    fields = ("id", "prefix", "user", "scope", "remark", "created_at", "revoked_at")


@admin.register(ChatIdentity)
class ChatIdentityAdmin(ReadOnlyAdmin):
    """The chat accounts that are bound to users."""

    list_display = ("platform", "display", "owner", "active", "bound_at")
    list_filter = ("platform", "active")
    list_select_related = ("owner",)
    search_fields = ("=owner__username", "=external_id")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """The audit trail."""

    list_display = ("sequence", "at", "actor", "action", "subject")
    list_filter = ("action",)
    search_fields = ("=actor", "=subject")


@admin.register(QuotaUse)
class QuotaUseAdmin(ReadOnlyAdmin):
    """The ledger of quotas."""

    list_display = ("owner", "kind", "window_start", "used", "limit")
    list_filter = ("kind",)
    list_select_related = ("owner",)
    search_fields = ("=owner__username",)


def _actor(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"


def _is_superuser(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_superuser
