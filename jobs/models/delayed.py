"""Jobs that come into being later."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from jobs.models.options import CALLBACK_LENGTH, KEY_LENGTH, JobOptions
from kernel.fields import IdField
from kernel.ids import ID_LENGTH


class DelayedState(models.TextChoices):
    """The state of a delayed job. The values are words of the wire."""

    SCHEDULED = "scheduled", _("scheduled")
    FIRED = "fired", _("fired")
    CANCELED = "canceled", _("canceled")


class DelayedJob(JobOptions):
    """A job for a later moment: for an agent, or a queue, or as a signed POST to an address (`url`).

    At its moment the row fires once: one transaction marks it and inserts its job, whose id follows from this one's.
    """

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="delayed_jobs", verbose_name=_("owner")
    )
    url = models.CharField(_("address"), max_length=CALLBACK_LENGTH, blank=True)
    actor = models.CharField(_("actor"), max_length=64)

    # The owner's word for the business it belongs to; `key_slot` holds its digest while the row is scheduled.
    key = models.CharField(_("key"), max_length=KEY_LENGTH, blank=True)
    key_slot = models.CharField(_("key slot"), max_length=64, null=True)  # noqa: DJ001
    idempotency_digest = models.CharField(_("idempotency key"), max_length=64, null=True)  # noqa: DJ001
    request_digest = models.CharField(_("request"), max_length=64, blank=True)

    state = models.CharField(_("state"), max_length=16, choices=DelayedState, default=DelayedState.SCHEDULED)
    due_at = models.DateTimeField(_("due at"))
    # Known before it is there: it follows from this row's id. None where a POST to `url` is all that happens.
    job_id = models.CharField(_("job"), max_length=ID_LENGTH, null=True)  # noqa: DJ001
    # The reason why it was canceled, or fired without a job of its own, or waits for its queue.
    reason = models.CharField(_("reason"), max_length=64, blank=True)
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))
    fired_at = models.DateTimeField(_("fired at"), null=True)
    canceled_at = models.DateTimeField(_("canceled at"), null=True)
    # The time of the notice that the agent keeps its job waiting.
    told_at = models.DateTimeField(_("told at"), null=True)

    class Meta:
        verbose_name = _("delayed job")
        verbose_name_plural = _("delayed jobs")
        indexes = [
            # The due scan: the next of all that are scheduled.
            models.Index(fields=["state", "due_at", "id"], name="delayed_due"),
            models.Index(fields=["owner", "id"], name="delayed_list"),
            models.Index(fields=["owner", "state", "id"], name="delayed_list_state"),
            models.Index(fields=["owner", "key", "id"], name="delayed_list_key"),
            models.Index(fields=["agent", "state"], name="delayed_agent"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["owner", "key_slot"], name="delayed_key"),
            models.UniqueConstraint(fields=["owner", "idempotency_digest"], name="delayed_idempotency"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.state}"
