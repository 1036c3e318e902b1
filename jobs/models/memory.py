"""Data that is kept between runs: small values of scripts, memories of results, and ends that wait to be evaluated."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from jobs.states import JobStatus
from kernel.fields import IdField

STATE_NAME_LENGTH = 100


class StateEntry(models.Model):
    """A named value of at most 64 KiB that scripts keep between runs. `version` rises with every write."""

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="state_entries", verbose_name=_("owner")
    )
    name = models.CharField(_("name"), max_length=STATE_NAME_LENGTH)
    content = models.BinaryField(_("content"))
    content_type = models.CharField(_("content type"), max_length=100, blank=True)
    version = models.PositiveBigIntegerField(_("version"))
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))

    class Meta:
        verbose_name = _("state entry")
        verbose_name_plural = _("state entries")
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="state_name_once")]

    def __str__(self) -> str:
        return self.name


class WatchMemory(models.Model):
    """The memory that the next result of a schedule (`schedule:<id>`) or of jobs of one name (`job:<name>`) is compared
    with.
    """

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="watch_memories", verbose_name=_("owner")
    )
    subject = models.CharField(_("subject"), max_length=120)
    content = models.JSONField(_("content"))
    updated_at = models.DateTimeField(_("updated at"))

    class Meta:
        verbose_name = _("memory of results")
        verbose_name_plural = _("memories of results")
        constraints = [models.UniqueConstraint(fields=["owner", "subject"], name="watch_memory_once")]

    def __str__(self) -> str:
        return self.subject


class DueEvaluation(models.Model):
    """The end of a job whose notice is not evaluated yet; the row goes with its evaluation.

    Ends of one `subject` (see WatchMemory; empty without a memory) are evaluated in their order. `attempts` counts the
    tries, `claimed_until` ends the current one. A row with `failed_at` could not be evaluated and is not tried again.
    """

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="due_evaluations", verbose_name=_("owner")
    )
    subject = models.CharField(_("subject"), max_length=120, blank=True)
    job = models.ForeignKey("jobs.Job", on_delete=models.CASCADE, related_name="evaluations", verbose_name=_("job"))
    number = models.PositiveIntegerField(_("number of the move"))
    after = models.CharField(_("status"), max_length=16, choices=JobStatus.choices)
    late = models.BooleanField(_("late"), default=False)
    ended_at = models.DateTimeField(_("ended at"))
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    claimed_until = models.DateTimeField(_("claimed until"), null=True)
    failed_at = models.DateTimeField(_("failed at"), null=True)

    class Meta:
        verbose_name = _("end to evaluate")
        verbose_name_plural = _("ends to evaluate")
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="evaluation_once")]
        indexes = [models.Index(fields=["failed_at", "owner", "ended_at", "id"], name="evaluation_due")]

    def __str__(self) -> str:
        return str(self.job_id)
