"""The outbox: everything that must happen outside, as rows."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from kernel.fields import IdField


class DeliveryState(models.TextChoices):
    """Where a delivery stands."""

    PENDING = "pending", _("pending")
    IN_FLIGHT = "in_flight", _("in flight")
    SENT = "sent", _("sent")
    RETRY = "retry", _("waiting to be tried again")
    DEAD = "dead", _("given up")


class Delivery(models.Model):
    """One thing to tell one target: written in the transaction of the change, sent later, by whoever claims it.

    `subject` names what it is about as text (`job:<id>`), so that this app need not know it. `dedupe_key` makes it
    exist once per change and target. `payload` is rendered; nothing is looked up at sending.
    """

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="deliveries", verbose_name=_("owner")
    )
    kind = models.CharField(_("kind"), max_length=32)
    subject = models.CharField(_("subject"), max_length=128)
    target = models.CharField(_("target"), max_length=255)
    dedupe_key = models.CharField(_("dedupe key"), max_length=191, unique=True)
    payload = models.JSONField(_("payload"))
    state = models.CharField(_("state"), max_length=16, choices=DeliveryState, default=DeliveryState.PENDING)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    due_at = models.DateTimeField(_("due at"))
    claimed_until = models.DateTimeField(_("claimed until"), null=True)
    provider_code = models.CharField(_("provider's code"), max_length=64, blank=True)
    provider_id = models.CharField(_("provider's id"), max_length=128, blank=True)
    created_at = models.DateTimeField(_("created at"))
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [
            # The sweep: what is due.
            models.Index(fields=["state", "due_at"], name="delivery_due"),
            # What was told of one subject.
            models.Index(fields=["subject", "created_at"], name="delivery_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} {self.state}"
