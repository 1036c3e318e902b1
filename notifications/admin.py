"""The outbox for staff."""

from __future__ import annotations

from django.contrib import admin

from kernel.staff import ReadOnlyAdmin
from notifications.models import Delivery


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """What was told to whom, and how it went."""

    list_display = ("created_at", "kind", "subject", "target", "state", "tries", "due_at", "ended_at")
    list_filter = ("state", "kind")
    search_fields = ("=id", "=subject")
