"""Rows that several transactions want to exist at once."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import connection, models

_Row = TypeVar("_Row", bound=models.Model)


def ensure_row(row: _Row, *by: str) -> None:
    """Insert `row` unless there is one with the same values in the unique columns `by`; either way it is ours to lock.

    A plain INSERT that meets another's row holds a shared lock on it; two that meet so, and then want to change it,
    wait for each other. What is written over an existing row is what it holds.
    """
    manager: models.Manager[_Row] = type(row)._default_manager
    wanted: dict[str, Any] = {name: getattr(row, name) for name in by}
    if manager.filter(**wanted).exists():
        return
    targets = list(by) if connection.features.supports_update_conflicts_with_target else None
    manager.bulk_create([row], update_conflicts=True, unique_fields=targets, update_fields=[by[-1]])
