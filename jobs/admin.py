"""Jobs for staff, to look at. Text from agents is shown with its hidden characters made visible."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from accounts.services.audit import record_audit
from jobs.models import (
    CalendarDay,
    DelayedJob,
    DueEvaluation,
    GatewayClock,
    Job,
    JobEvent,
    JobLogChunk,
    JobOutput,
    ProcessClock,
    Queue,
    Schedule,
    ScheduleRun,
    StateEntry,
    Ticker,
    WatchMemory,
    WorkCalendar,
)
from jobs.schedules.calendars import runs_out
from jobs.schedules.service import reckon_anew
from kernel.clock import database_now
from kernel.http.staff import ReadOnlyAdmin
from kernel.strictjson import JsonValue
from kernel.text import keep_head_and_tail
from kernel.visible import visible_line, visible_text

_LINE_CHARACTERS = 80
_SHOWN_BYTES = 64 * 1024


class JobEventInline(admin.TabularInline):  # type: ignore[type-arg]  # not subscriptable at run time
    """The timeline on a job's page."""

    model = JobEvent
    fields = ("number", "at", "move", "before", "after", "actor", "shown_text")
    readonly_fields = fields
    ordering = ("number",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Never."""
        return False

    @admin.display(description=_("text"))
    def shown_text(self, event: JobEvent) -> str:
        """The text that the agent sent with it."""
        return visible_line(event.text)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """One text for one agent, and its status."""

    list_display = ("created_at", "line", "agent", "owner", "status", "source", "attempt", "late")
    list_filter = ("status", "late")
    list_select_related = ("agent", "owner")
    search_fields = ("=id", "=agent__name", "=owner__username")
    ordering = ("-id",)
    inlines = (JobEventInline,)
    exclude = ("message", "idempotency_digest", "request_digest")
    readonly_fields = ("id", "shown_message")

    @admin.display(description=_("message"))
    def line(self, job: Job) -> str:
        """The message, on one line."""
        return Truncator(visible_line(job.message)).chars(_LINE_CHARACTERS)

    @admin.display(description=_("message"))
    def shown_message(self, job: Job) -> str:
        """The message, whole."""
        return visible_text(job.message)


@admin.register(JobEvent)
class JobEventAdmin(ReadOnlyAdmin):
    """Every move of every job."""

    list_display = ("at", "job_id", "number", "move", "before", "after", "actor")
    list_filter = ("move",)
    search_fields = ("=job__id",)
    ordering = ("-id",)
    fields = ("job", "number", "at", "move", "before", "after", "actor", "shown_text")
    readonly_fields = ("shown_text",)

    @admin.display(description=_("text"))
    def shown_text(self, event: JobEvent) -> str:
        """The text that the agent sent with it."""
        return visible_text(event.text)


@admin.register(JobOutput)
class JobOutputAdmin(ReadOnlyAdmin):
    """Outputs of jobs."""

    list_display = ("job_id", "size_bytes", "truncated", "exit_code", "signal", "reason", "created_at")
    list_filter = ("truncated",)
    search_fields = ("=job__id",)
    fields = ("job", "size_bytes", "truncated", "exit_code", "signal", "reason", "created_at", "shown_text")
    readonly_fields = ("shown_text",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobOutput]:
        """Leave the long text in the database until a page shows it."""
        return super().get_queryset(request).defer("text")

    @admin.display(description=_("text"))
    def shown_text(self, output: JobOutput) -> str:
        """At most 64 KiB of it."""
        return visible_text(keep_head_and_tail(output.text, limit_bytes=_SHOWN_BYTES).text)


@admin.register(JobLogChunk)
class JobLogChunkAdmin(ReadOnlyAdmin):
    """Pieces of what jobs print."""

    list_display = ("job_id", "offset", "size_bytes", "created_at")
    search_fields = ("=job__id",)
    ordering = ("-id",)
    fields = ("job", "offset", "size_bytes", "created_at", "shown_text")
    readonly_fields = ("shown_text",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobLogChunk]:
        """Leave the text in the database until a page shows it."""
        return super().get_queryset(request).defer("text")

    @admin.display(description=_("text"))
    def shown_text(self, chunk: JobLogChunk) -> str:
        """At most 64 KiB of it."""
        return visible_text(keep_head_and_tail(chunk.text, limit_bytes=_SHOWN_BYTES).text)


@admin.register(Queue)
class QueueAdmin(ReadOnlyAdmin):
    """Named lines of jobs."""

    list_display = ("name", "owner", "width", "created_at")
    list_select_related = ("owner",)
    search_fields = ("name", "=owner__username")


@admin.register(GatewayClock)
class GatewayClockAdmin(ReadOnlyAdmin):
    """Since when a gateway has been alive without a gap."""

    list_display = ("alive_since", "beat_at")


@admin.register(Ticker)
class TickerAdmin(ReadOnlyAdmin):
    """Whether the due scans may start anything, and whether they run."""

    list_display = ("worked_at", "silent_since", "held_at", "backup_at")


@admin.register(ProcessClock)
class ProcessClockAdmin(ReadOnlyAdmin):
    """How far the clocks of processes and of Redis are from the database's."""

    list_display = ("name", "skew_seconds", "measured_at", "over_since")
    ordering = ("name",)


@admin.register(DelayedJob)
class DelayedJobAdmin(ReadOnlyAdmin):
    """Jobs that come into being later."""

    list_display = ("due_at", "line", "agent", "owner", "state", "key")
    list_filter = ("state",)
    list_select_related = ("agent", "owner")
    search_fields = ("=id", "=key", "=agent__name", "=owner__username")
    ordering = ("-id",)
    exclude = ("message", "idempotency_digest", "request_digest", "key_slot")
    readonly_fields = ("id", "shown_message")

    @admin.display(description=_("message"))
    def line(self, row: DelayedJob) -> str:
        """The message, on one line."""
        return Truncator(visible_line(row.message)).chars(_LINE_CHARACTERS)

    @admin.display(description=_("message"))
    def shown_message(self, row: DelayedJob) -> str:
        """The message, whole."""
        return visible_text(row.message)


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """Jobs that come again and again."""

    list_display = ("name", "owner", "agent", "cron", "timezone", "enabled", "next_at")
    list_filter = ("enabled",)
    list_select_related = ("agent", "owner")
    search_fields = ("=id", "name", "=owner__username")


@admin.register(ScheduleRun)
class ScheduleRunAdmin(ReadOnlyAdmin):
    """Outcomes of the occurrences of schedules."""

    list_display = ("due_at", "schedule", "outcome", "reason", "count", "job_id")
    list_filter = ("outcome",)
    list_select_related = ("schedule",)
    search_fields = ("=schedule__id", "=job_id")
    ordering = ("-id",)


class _AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Staff edit these rows, and the audit trail says who did what. `word` names them there."""

    word = ""
    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        """Save, with the names of the fields that changed."""
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            self._note(request, "change" if change else "create", obj, [str(name) for name in form.changed_data])

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete one."""
        with transaction.atomic():
            self._note(request, "delete", obj, [])
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete many, each with an entry of its own."""
        with transaction.atomic():
            for obj in queryset:
                self.delete_model(request, obj)

    def _note(self, request: HttpRequest, did: str, obj: Any, fields: list[str]) -> None:
        details: dict[str, JsonValue] = {"what": str(obj), "fields": list(fields)}
        record_audit(
            actor=f"user:{request.user.pk}",
            action=f"{self.word}.{did}",
            subject=f"{self.word}:{obj.pk}",
            now=database_now(),
            details=details,
        )


@admin.register(WorkCalendar)
class WorkCalendarAdmin(_AuditedAdmin):
    """Calendars of working days; `manage.py import_calendar` reads a year's file in."""

    word = "calendar"
    list_display = ("code", "name", "known_until")
    fields = ("code", "name", "known_until")

    def save_model(self, request: HttpRequest, obj: WorkCalendar, form: ModelForm[WorkCalendar], change: bool) -> None:
        """Save. If the end of the list moved, staff get a new warning before it."""
        if "known_until" in form.changed_data:
            obj.warned_at = None
        super().save_model(request, obj, form, change)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Say above the list which calendars end soon."""
        for calendar in WorkCalendar.objects.order_by("code"):
            if runs_out(calendar, database_now().date()):
                sentence = _("The calendar %(name)s knows holidays only up to %(day)s.")
                words = {"name": calendar.name, "day": calendar.known_until}
                self.message_user(request, sentence % words, messages.WARNING)
        return super().changelist_view(request, extra_context)


@admin.register(CalendarDay)
class CalendarDayAdmin(_AuditedAdmin):
    """Holidays, and weekend days that are worked."""

    word = "calendar_day"
    list_display = ("day", "calendar", "works", "name")
    list_filter = ("calendar", "works")
    list_select_related = ("calendar",)
    ordering = ("-day",)

    def _note(self, request: HttpRequest, did: str, obj: CalendarDay, fields: list[str]) -> None:
        """Note it, and find the next moments of the calendar's schedules once it is done."""
        super()._note(request, did, obj, fields)
        transaction.on_commit(lambda: reckon_anew(obj.calendar))


@admin.register(StateEntry)
class StateEntryAdmin(ReadOnlyAdmin):
    """Values that scripts keep between runs, without their content."""

    list_display = ("name", "owner", "version", "updated_at")
    list_select_related = ("owner",)
    search_fields = ("=name", "=owner__username")
    fields = ("id", "owner", "name", "content_type", "version", "created_at", "updated_at")


@admin.register(DueEvaluation)
class DueEvaluationAdmin(ReadOnlyAdmin):
    """Ends of jobs that wait for their evaluation, and those that could not be evaluated."""

    list_display = ("job_id", "owner", "subject", "ended_at", "attempts", "failed_at")
    list_select_related = ("owner",)
    list_filter = (("failed_at", admin.EmptyFieldListFilter),)
    search_fields = ("=job__id", "=owner__username")


@admin.register(WatchMemory)
class WatchMemoryAdmin(ReadOnlyAdmin):
    """Memories that results are compared with, without their content."""

    list_display = ("subject", "owner", "updated_at")
    list_select_related = ("owner",)
    search_fields = ("=subject", "=owner__username")
    fields = ("id", "owner", "subject", "updated_at")
