"""Jobs, delayed jobs and schedules get the columns of a whole order."""

from __future__ import annotations

from collections.abc import Callable

from django.db import migrations, models

from kernel.columns import AddColumn

_MODELS = ("job", "delayedjob", "schedule")


def _text(limit: int, name: str) -> models.CharField:
    return models.CharField(blank=True, default="", max_length=limit, verbose_name=name)


def _seconds() -> models.PositiveIntegerField:
    return models.PositiveIntegerField(null=True, verbose_name="may wait so many seconds")


def _column(model: str, name: str, field: models.Field) -> AddColumn:
    return AddColumn(model_name=model, name=name, field=field, preserve_default=not isinstance(field, models.CharField))


def _target(model: str, name: str, to: str, on_delete: Callable[..., None]) -> migrations.AlterField:
    field = models.ForeignKey(null=True, on_delete=on_delete, related_name="%(class)ss", to=to, verbose_name=name)
    return migrations.AlterField(model_name=model, name=name, field=field)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0008_lists_by_time")]

    operations = [
        _column("job", "distinct_key", _text(255, "distinct key")),
        _column("job", "ttl_seconds", _seconds()),
        _column("delayedjob", "notify", models.JSONField(null=True, verbose_name="when to tell")),
        _column("delayedjob", "ttl_seconds", _seconds()),
        _column("delayedjob", "expires_at", models.DateTimeField(null=True, verbose_name="waits until")),
        _column("schedule", "params", models.JSONField(null=True, verbose_name="parameters")),
        _column("schedule", "task", _text(255, "task")),
        _column("schedule", "source", _text(255, "source")),
        _column("schedule", "priority", models.SmallIntegerField(default=0, verbose_name="priority")),
        _column("schedule", "distinct_key", _text(255, "distinct key")),
        _column("schedule", "rate_key", _text(64, "rate key")),
        _column("schedule", "ttl_seconds", _seconds()),
        # Only the reverse names of the relations: no statement.
        *(_target(model, "agent", "agents.agent", models.PROTECT) for model in _MODELS),
        *(_target(model, "queue", "jobs.queue", models.SET_NULL) for model in _MODELS),
    ]
