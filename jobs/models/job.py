"""Jobs, what happened to them, what they put out."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from jobs.models.options import JobOptions
from jobs.querysets import JobQuerySet
from jobs.states import TERMINAL, JobStatus, Move
from kernel.fields import IdField
from kernel.ids import ID_LENGTH


class Job(JobOptions):
    """One text for one agent, and its status. Changed only by `jobs.transitions`.

    The values that differ between jobs at an end (result, exit code, reason) are an inserted row, `JobOutput`. So one
    UPDATE moves a set of jobs.
    """

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs", verbose_name=_("owner")
    )
    method = models.CharField(_("method"), max_length=50, blank=True)

    status = models.CharField(_("status"), max_length=16, choices=JobStatus, default=JobStatus.QUEUING)
    events_count = models.PositiveIntegerField(_("events"), default=0)
    late = models.BooleanField(_("late"), default=False)

    # Text that is unique where it is set is NULL where it is not: two empty texts would meet (DJ001).
    # A retry is a new row with the same root; an offer handed out again is the same row with a higher offer.
    root_id = models.CharField(_("first attempt"), max_length=ID_LENGTH)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=1)
    offer = models.PositiveIntegerField(_("offer"), default=0)
    protocol = models.PositiveSmallIntegerField(_("protocol"), default=1)
    parent_id = models.CharField(_("created by"), max_length=ID_LENGTH, null=True)  # noqa: DJ001
    occurrence = models.CharField(_("occurrence"), max_length=32, null=True)  # noqa: DJ001
    distinct_slot = models.CharField(_("distinct slot"), max_length=64, null=True)  # noqa: DJ001
    idempotency_digest = models.CharField(_("idempotency key"), max_length=64, null=True)  # noqa: DJ001
    request_digest = models.CharField(_("request"), max_length=64, blank=True)

    created_at = models.DateTimeField(_("created at"))
    active_at = models.DateTimeField(_("due at"))
    lease_until = models.DateTimeField(_("lease ends"), null=True)
    cancel_requested_at = models.DateTimeField(_("cancel requested at"), null=True)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    running_at = models.DateTimeField(_("running at"), null=True)
    succeeded_at = models.DateTimeField(_("succeeded at"), null=True)
    failed_at = models.DateTimeField(_("failed at"), null=True)
    expired_at = models.DateTimeField(_("expired at"), null=True)
    canceled_at = models.DateTimeField(_("canceled at"), null=True)
    # A dead letter: it failed for good, and waits for its owner to replay or remove it.
    parked_at = models.DateTimeField(_("parked at"), null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        indexes = [
            # The claim: the oldest job of one agent that is due and in no queue.
            models.Index(fields=["agent", "status", "queue", "active_at", "id"], name="job_claim"),
            # A queue's jobs in the order in which they start, and how many of it are active.
            models.Index(fields=["queue", "status", "-priority", "active_at", "id"], name="job_queue"),
            # How many of one key a queue started lately; its dead letters.
            models.Index(fields=["queue", "rate_key", "sent_at"], name="job_rate"),
            models.Index(fields=["queue", "parked_at", "id"], name="job_parked"),
            # The sweeps: leases that ended, waits that ended, queuing jobs by age.
            models.Index(fields=["status", "lease_until"], name="job_lease"),
            models.Index(fields=["status", "expires_at"], name="job_expiry"),
            models.Index(fields=["status", "active_at"], name="job_due"),
            # The keys that are old enough to be forgotten: only the rows that hold one are looked at.
            models.Index(fields=["idempotency_digest", "created_at"], name="job_old_keys"),
            # A user's list, newest first, whole or by status or agent. The id is not an order: an id that is derived
            # from another id (an occurrence, an attempt) does not grow with time.
            models.Index(fields=["owner", "created_at", "id"], name="job_by_time"),
            models.Index(fields=["owner", "status", "created_at", "id"], name="job_by_time_status"),
            models.Index(fields=["owner", "agent", "created_at", "id"], name="job_by_time_agent"),
            # The same of one source: GET /jobs?source=.
            models.Index(fields=["owner", "source", "created_at", "id"], name="job_by_time_source"),
        ]
        constraints = [
            # T1: one row per key; the key is forgotten after seven days.
            models.UniqueConstraint(fields=["owner", "idempotency_digest"], name="job_idempotency"),
            # At most one live job per slot; cleared at the end, because MySQL has no partial index.
            models.UniqueConstraint(fields=["queue", "distinct_slot"], name="job_distinct"),
            # T8, T9: an attempt and an occurrence create one job.
            models.UniqueConstraint(fields=["root_id", "attempt"], name="job_attempt"),
            models.UniqueConstraint(fields=["parent_id", "occurrence"], name="job_occurrence"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.status in TERMINAL

    @property
    def is_impatient(self) -> bool:
        """Whether it ends when its agent is away: see `JobQuerySet.impatient`."""
        return self.expires_at is None and self.parent_id is None and self.queue_id is None and self.attempt == 1


class JobEvent(models.Model):
    """One move of a job, or a report of progress, written in the transaction that made it. The timeline and audit."""

    id = IdField()
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events", verbose_name=_("job"))
    number = models.PositiveIntegerField(_("number"))
    at = models.DateTimeField(_("at"))
    move = models.CharField(_("move"), max_length=16, choices=Move)
    before = models.CharField(_("before"), max_length=16, choices=JobStatus, blank=True)
    after = models.CharField(_("after"), max_length=16, choices=JobStatus)
    actor = models.CharField(_("actor"), max_length=64)
    text = models.CharField(_("text"), max_length=1024, blank=True)
    # Minted before the first try: a repeated transaction finds its own event and does nothing twice.
    request_id = models.CharField(_("request"), max_length=ID_LENGTH, null=True, unique=True)  # noqa: DJ001

    class Meta:
        verbose_name = _("job event")
        verbose_name_plural = _("job events")
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="job_event_number")]

    def __str__(self) -> str:
        return f"{self.number} {self.before or '-'} -> {self.after}"


class JobOutput(models.Model):
    """The output of a job at its end: at most 1 MiB, head and tail. `result` is its first 1,024 characters."""

    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, related_name="output", verbose_name=_("job")
    )
    result = models.CharField(_("result"), max_length=1024, blank=True)
    text = models.TextField(_("text"), blank=True)
    size_bytes = models.PositiveBigIntegerField(_("size"))
    truncated = models.BooleanField(_("truncated"), default=False)
    exit_code = models.IntegerField(_("exit code"), null=True)
    signal = models.PositiveSmallIntegerField(_("signal"), null=True)
    reason = models.CharField(_("reason"), max_length=64, blank=True)
    log_size = models.PositiveBigIntegerField(_("log size"), null=True)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("job output")
        verbose_name_plural = _("job outputs")

    def __str__(self) -> str:
        return f"{self.job_id} {self.size_bytes}"


class JobLogChunk(models.Model):
    """A piece of what a job prints while it runs. Pieces of one job join without gaps; `offset` and size are bytes."""

    id = IdField()
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="log", verbose_name=_("job"))
    offset = models.PositiveIntegerField(_("offset"))
    size_bytes = models.PositiveIntegerField(_("size"))
    text = models.TextField(_("text"))
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("piece of a log")
        verbose_name_plural = _("logs")
        constraints = [models.UniqueConstraint(fields=["job", "offset"], name="job_log_offset")]

    def __str__(self) -> str:
        return f"{self.job_id} {self.offset}+{self.size_bytes}"
