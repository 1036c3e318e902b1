"""Named queues of jobs."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models import NAME_LENGTH, Agent
from kernel.fields import IdField

QUEUE_NAME_LENGTH = 64


class QueueState(models.TextChoices):
    """The state of a queue."""

    OPEN = "open", _("open")
    PAUSED = "paused", _("paused")
    """Takes jobs and starts none."""
    DRAINING = "draining", _("draining")
    """Takes none and starts those that wait."""


class Queue(models.Model):
    """A named line of jobs of one owner; its width is how many of it run at a time. A job without a queue has none.

    Its jobs run on one agent, or on whichever agent with a tag is free, or (neither) are pulled by a program of the
    owner. They wait for an agent that is away.
    """

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="queues", verbose_name=_("owner")
    )
    name = models.CharField(_("name"), max_length=QUEUE_NAME_LENGTH)
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, related_name="queues", verbose_name=_("agent")
    )
    tag = models.CharField(_("tag"), max_length=NAME_LENGTH, blank=True)
    # The channel of the coyotes API that this queue is, for its agent.
    channel = models.CharField(_("channel"), max_length=QUEUE_NAME_LENGTH, null=True)  # noqa: DJ001
    state = models.CharField(_("state"), max_length=16, choices=QueueState, default=QueueState.OPEN)
    width = models.PositiveSmallIntegerField(_("width"), default=1)
    distinct = models.BooleanField(_("distinct"), default=False)
    length_limit = models.PositiveIntegerField(_("longest"), null=True)
    # At most `rate_limit` starts of one rate key within `rate_seconds`.
    rate_limit = models.PositiveIntegerField(_("rate"), null=True)
    rate_seconds = models.PositiveIntegerField(_("rate in seconds"), default=60)
    # For jobs that say nothing of it themselves.
    retries = models.PositiveSmallIntegerField(_("retries"), default=0)
    backoff = models.JSONField(_("pauses between attempts"), null=True)
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="queue_name_once"),
            models.UniqueConstraint(fields=["agent", "channel"], name="queue_channel_once"),
        ]
        # The queues of a group, for an agent that asks for work.
        indexes = [models.Index(fields=["owner", "tag"], name="queue_group")]

    def __str__(self) -> str:
        return self.name
