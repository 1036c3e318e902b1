"""Agents for staff: look, change the remark and the power, enable and disable. A token's digest is never shown."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from agents.models import Agent, AgentName, AgentTag, AgentToken
from agents.services.manage import AgentChange, update_agent
from kernel.errors import NotFound
from kernel.http.staff import ReadOnlyAdmin


@admin.register(Agent)
class AgentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Agents, changed only through the services, so that jobs are canceled and gateways notified."""

    list_display = ("name", "alias", "owner", "online", "enabled", "last_seen_at", "ip", "version", "deleted_at")
    list_filter = ("online", "enabled", "acts_for_owner", ("deleted_at", admin.EmptyFieldListFilter))
    list_select_related = ("owner",)
    search_fields = ("=id", "name", "alias", "=owner__username")
    show_full_result_count = False
    actions = ("enable", "disable")
    fields = (
        *("id", "owner", "name", "alias", "remark", "acts_for_owner", "enabled", "online", "last_seen_at"),
        *("ip", "version"),
        *("activated_at", "created_at", "updated_at", "deleted_at"),
    )
    readonly_fields = tuple(name for name in fields if name not in ("remark", "acts_for_owner"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: an agent is added by its owner, who alone sees its token."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """Refuse changes of a deleted agent."""
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """Never: disable instead."""
        return False

    def save_model(self, request: HttpRequest, obj: Agent, form: ModelForm[Agent], change: bool) -> None:
        """Change the remark and whether the agent acts for its owner."""
        change_wanted = AgentChange(remark=obj.remark, acts_for_owner=obj.acts_for_owner)
        update_agent(agent=obj, change=change_wanted, actor=_actor(request))

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        """Enable the selected agents."""
        count = self._set_enabled(request, queryset, enabled=True)
        sentence = ngettext("%(count)s agent is enabled.", "%(count)s agents are enabled.", count)
        self.message_user(request, sentence % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Disable: open jobs are canceled"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        """Disable the selected agents."""
        count = self._set_enabled(request, queryset, enabled=False)
        sentence = ngettext("%(count)s agent is disabled.", "%(count)s agents are disabled.", count)
        self.message_user(request, sentence % {"count": count}, messages.SUCCESS)

    def _set_enabled(self, request: HttpRequest, agents: QuerySet[Agent], *, enabled: bool) -> int:
        """Change the agents that are not deleted and not in that state already; return their number."""
        count = 0
        for agent in agents.filter(enabled=not enabled, deleted_at=None):
            try:
                update_agent(agent=agent, change=AgentChange(enabled=enabled), actor=_actor(request))
            except NotFound:
                # Its owner has deleted it since the query.
                continue
            count += 1
        return count


@admin.register(AgentName)
class AgentNameAdmin(ReadOnlyAdmin):
    """Names in the form in which they are compared."""

    list_display = ("key", "agent", "owner")
    list_select_related = ("agent", "owner")
    search_fields = ("key", "=owner__username")


@admin.register(AgentTag)
class AgentTagAdmin(ReadOnlyAdmin):
    """Words by which owners group agents."""

    list_display = ("tag", "agent")
    list_select_related = ("agent",)
    search_fields = ("=tag", "=agent__name")


@admin.register(AgentToken)
class AgentTokenAdmin(ReadOnlyAdmin):
    """The tokens of agents, without their digests. Owners make new ones."""

    list_display = ("prefix", "agent", "created_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    list_select_related = ("agent",)
    search_fields = ("prefix", "agent__name")
    fields = ("id", "prefix", "agent", "created_at", "revoked_at")


def _actor(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"
