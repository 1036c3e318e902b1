"""Schedules, the outcomes of their occurrences, and the calendars of working days."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from jobs.models.options import JobOptions
from jobs.querysets import ScheduleQuerySet
from jobs.schedules.cron.grammar import LONGEST_EXPRESSION
from kernel.fields import IdField
from kernel.ids import ID_LENGTH

EXPRESSION_LENGTH = LONGEST_EXPRESSION
SCHEDULE_NAME_LENGTH = 64
ZONE_LENGTH = 64


class Missed(models.TextChoices):
    """The policy for occurrences that passed while no scan ran."""

    SKIP = "skip", _("skip them")
    ONCE = "once", _("run once for all of them")
    ALL = "all", _("run every one")


class Overlap(models.TextChoices):
    """The policy for an occurrence whose predecessor has not ended."""

    SKIP = "skip", _("skip it")
    QUEUE = "queue", _("run it afterwards")
    REPLACE = "replace", _("end the one before")
    ALLOW = "allow", _("run both")


class WorkCalendar(models.Model):
    """A calendar of working days: Monday to Friday, except for the listed days."""

    id = IdField()
    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=64)
    # Up to this day the list is complete; staff are warned before it is over.
    known_until = models.DateField(_("known until"))
    warned_at = models.DateTimeField(_("warned at"), null=True)

    class Meta:
        verbose_name = _("calendar")
        verbose_name_plural = _("calendars")

    def __str__(self) -> str:
        return self.name


class CalendarDay(models.Model):
    """A day that is not as its weekday is: a public holiday, or a weekend day that is worked."""

    id = IdField()
    calendar = models.ForeignKey(
        WorkCalendar, on_delete=models.CASCADE, related_name="days", verbose_name=_("calendar")
    )
    day = models.DateField(_("day"))
    works = models.BooleanField(_("worked"), default=False)
    name = models.CharField(_("name"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("day of a calendar")
        verbose_name_plural = _("days of calendars")
        constraints = [models.UniqueConstraint(fields=["calendar", "day"], name="calendar_day_once")]

    def __str__(self) -> str:
        return f"{self.day} {self.name}"


class Schedule(JobOptions):
    """A job that comes again and again. `next_at` is the next moment to look at; a due scan moves it on."""

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="schedules", verbose_name=_("owner")
    )
    name = models.CharField(_("name"), max_length=SCHEDULE_NAME_LENGTH)
    actor = models.CharField(_("actor"), max_length=64)

    # A single time cannot limit jobs that recur; their ttl can.
    expires_at = None

    cron = models.CharField(_("cron expression"), max_length=EXPRESSION_LENGTH)
    timezone = models.CharField(_("time zone"), max_length=ZONE_LENGTH)
    calendar = models.ForeignKey(
        WorkCalendar, on_delete=models.PROTECT, null=True, related_name="schedules", verbose_name=_("calendar")
    )
    # With a calendar: run only on days that are worked.
    only_working_days = models.BooleanField(_("only on working days"), default=False)
    jitter_seconds = models.PositiveIntegerField(_("jitter"), default=0)
    missed = models.CharField(_("missed moments"), max_length=8, choices=Missed, default=Missed.ONCE)
    missed_seconds = models.PositiveIntegerField(_("how old a missed moment may be"), default=3600)
    overlap = models.CharField(_("overlap"), max_length=8, choices=Overlap, default=Overlap.SKIP)
    blackout = models.JSONField(_("blackout windows"), null=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    paused_until = models.DateTimeField(_("paused until"), null=True)

    # A run must succeed within this many seconds of its occurrence; otherwise the owner gets one alert.
    grace_seconds = models.PositiveIntegerField(_("grace"), null=True)
    expected_at = models.DateTimeField(_("a result is expected by"), null=True)
    alerted_at = models.DateTimeField(_("alerted at"), null=True)

    next_at = models.DateTimeField(_("next run"), null=True)
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        indexes = [
            # The due scans: the next moment of all, and the results that did not come.
            models.Index(fields=["enabled", "next_at", "id"], name="schedule_due"),
            models.Index(fields=["expected_at"], name="schedule_expected"),
        ]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="schedule_name_once")]

    def __str__(self) -> str:
        return self.name


class Outcome(models.TextChoices):
    """The outcome of an occurrence of a schedule."""

    STARTED = "started", _("started")
    WAITING = "waiting", _("waits for the run before it")
    MISSED = "missed", _("missed")
    OVERLAPPED = "overlapped", _("the run before had not ended")
    BLACKED_OUT = "blackout", _("within a blackout window")
    PAUSED = "paused", _("paused")
    DAY_OFF = "day_off", _("not a working day")
    REFUSED = "refused", _("refused")


class ScheduleRun(models.Model):
    """One occurrence of a schedule and its outcome: the job that it started, or the reason why it started none."""

    id = IdField()
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="runs", verbose_name=_("schedule"))
    due_at = models.DateTimeField(_("due at"))
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome)
    reason = models.CharField(_("reason"), max_length=255, blank=True)
    # The number of occurrences in this row: those missed in one absence share a row.
    count = models.PositiveIntegerField(_("count"), default=1)
    job_id = models.CharField(_("job"), max_length=ID_LENGTH, null=True)  # noqa: DJ001
    # While it waits: the job, in its first attempt, that must end first.
    awaits = models.CharField(_("waits for"), max_length=ID_LENGTH, null=True)  # noqa: DJ001
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("run of a schedule")
        verbose_name_plural = _("runs of schedules")
        # The waiting runs, of all schedules and of one; the list of one schedule.
        indexes = [
            models.Index(fields=["outcome", "schedule", "due_at"], name="schedule_run_waiting"),
            models.Index(fields=["schedule", "id"], name="schedule_run_list"),
        ]
        constraints = [models.UniqueConstraint(fields=["schedule", "due_at"], name="schedule_run_once")]

    def __str__(self) -> str:
        return f"{self.due_at} {self.outcome}"
