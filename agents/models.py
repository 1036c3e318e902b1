"""Agents, their names and tokens."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.querysets import AgentQuerySet
from kernel.fields import IdField

NAME_LENGTH = 50
REMARK_LENGTH = 250


class Agent(models.Model):
    """A program on a user's machine that fetches jobs. Deleting keeps the row, because jobs refer to it."""

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="agents", verbose_name=_("owner")
    )
    name = models.CharField(_("name"), max_length=NAME_LENGTH)
    alias = models.CharField(_("alias"), max_length=NAME_LENGTH, blank=True)
    remark = models.CharField(_("remark"), max_length=REMARK_LENGTH, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    # On: its token may send jobs to its owner's other agents and use the owner's state, as every agent of the original.
    acts_for_owner = models.BooleanField(_("acts for its owner"), default=False)
    # On: the agent has a tag or a queue names it, so its polls also look into queues. It is never switched off again.
    in_queues = models.BooleanField(_("in queues"), default=False)
    # Only `agents.services.presence.touch_agents` and the offline sweep write this.
    online = models.BooleanField(_("online"), default=False)
    last_seen_at = models.DateTimeField(_("last seen"), null=True)
    ip = models.GenericIPAddressField(_("IP address"), null=True)
    version = models.CharField(_("version"), max_length=64, blank=True)
    activated_at = models.DateTimeField(_("first seen"), null=True)
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))
    deleted_at = models.DateTimeField(_("deleted at"), null=True)
    # Changes with every field of the agent that a gateway caches: enabled, deleted, acts_for_owner, in_queues.
    changed_at = models.DateTimeField(_("changed at"))

    objects = AgentQuerySet.as_manager()

    class Meta:
        verbose_name = _("agent")
        verbose_name_plural = _("agents")
        indexes = [
            # A user's list, by name.
            models.Index(fields=["owner", "deleted_at", "name"], name="agent_list"),
            # The offline sweep: agents that are online and silent.
            models.Index(fields=["online", "last_seen_at"], name="agent_presence"),
            # Twice a second every gateway process reads the agents changed in the last seconds.
            models.Index(fields=["changed_at"], name="agent_changed"),
        ]

    def __str__(self) -> str:
        return self.name


class AgentName(models.Model):
    """A name or alias in the form in which names are compared. It is unique per owner, over names and aliases."""

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("owner")
    )
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="names", verbose_name=_("agent"))
    key = models.CharField(_("key"), max_length=150)

    class Meta:
        verbose_name = _("agent name")
        verbose_name_plural = _("agent names")
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="agent_name_once")]

    def __str__(self) -> str:
        return self.key


class AgentTag(models.Model):
    """A word by which an owner groups agents: `role=nas`, `build`. Stored in the form in which names are compared."""

    id = IdField()
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="tags", verbose_name=_("agent"))
    tag = models.CharField(_("tag"), max_length=NAME_LENGTH)

    class Meta:
        verbose_name = _("agent tag")
        verbose_name_plural = _("agent tags")
        constraints = [models.UniqueConstraint(fields=["agent", "tag"], name="agent_tag_once")]
        indexes = [models.Index(fields=["tag", "agent"], name="agent_tag_members")]

    def __str__(self) -> str:
        return self.tag


class AgentToken(models.Model):
    """A token of an agent; only its SHA-256 is stored."""

    id = IdField()
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="tokens", verbose_name=_("agent"))
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    prefix = models.CharField(_("begins with"), max_length=12)
    created_at = models.DateTimeField(_("created at"))
    revoked_at = models.DateTimeField(_("revoked at"), null=True)
    changed_at = models.DateTimeField(_("changed at"))

    class Meta:
        verbose_name = _("agent token")
        verbose_name_plural = _("agent tokens")
        # Twice a second every gateway process reads the tokens changed in the last seconds.
        indexes = [models.Index(fields=["changed_at"], name="agent_token_changed")]

    def __str__(self) -> str:
        return f"{self.prefix}…"
