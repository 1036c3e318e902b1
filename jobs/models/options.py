"""The columns of what may be wanted of a job, shared by every table that holds such an order."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from jobs.models.queue import Queue

MESSAGE_LENGTH = 4096
TASK_LENGTH = 255
SOURCE_LENGTH = 255
CALLBACK_LENGTH = 255
KEY_LENGTH = 255
RATE_KEY_LENGTH = 64


class JobOptions(models.Model):
    """A `jobs.order.JobOrder` as columns, with its agent or queue as foreign keys.

    A new option is one column here and one migration for the tables of jobs, delayed jobs and schedules.
    """

    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, related_name="%(class)ss", verbose_name=_("agent")
    )
    queue = models.ForeignKey(
        Queue, on_delete=models.SET_NULL, null=True, related_name="%(class)ss", verbose_name=_("queue")
    )
    message = models.CharField(_("message"), max_length=MESSAGE_LENGTH)
    # `argv` if the job was sent as words, and what travels beside it.
    params = models.JSONField(_("parameters"), null=True)
    task = models.CharField(_("task"), max_length=TASK_LENGTH, blank=True)
    source = models.CharField(_("source"), max_length=SOURCE_LENGTH, blank=True)
    callback = models.CharField(_("callback"), max_length=CALLBACK_LENGTH, blank=True)
    # Only within a queue: the higher starts first, then the older.
    priority = models.SmallIntegerField(_("priority"), default=0)
    distinct_key = models.CharField(_("distinct key"), max_length=KEY_LENGTH, blank=True)
    rate_key = models.CharField(_("rate key"), max_length=RATE_KEY_LENGTH, blank=True)

    # After an end: up to `retries` more attempts, other jobs, a message only if something changed.
    retries = models.PositiveSmallIntegerField(_("retries"), default=0)
    backoff = models.JSONField(_("pauses between attempts"), null=True)
    idempotent = models.BooleanField(_("may run twice"), default=False)
    then = models.JSONField(_("what follows"), null=True)
    notify = models.JSONField(_("when to tell"), null=True)

    # How long the job may wait to be claimed. A ttl of a job sets `expires_at` too.
    ttl_seconds = models.PositiveIntegerField(_("may wait so many seconds"), null=True)
    expires_at = models.DateTimeField(_("waits until"), null=True)

    class Meta:
        abstract = True
