"""Insert a row that several transactions may insert at once."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import connection, models

_Row = TypeVar("_Row", bound=models.Model)


def ensure_row(row: _Row, *by: str) -> None:
    """Insert `row` unless a row has the same values in the unique columns `by`. The caller may lock it afterwards.

    On MySQL a plain INSERT that fails on a duplicate key keeps a shared lock on the row; two transactions that both do
    so and then update the row deadlock. The upsert takes an exclusive lock, and writes a value that the row has.
    """
    manager: models.Manager[_Row] = type(row)._default_manager
    wanted: dict[str, Any] = {name: getattr(row, name) for name in by}
    if manager.filter(**wanted).exists():
        return
    targets = list(by) if connection.features.supports_update_conflicts_with_target else None
    manager.bulk_create([row], update_conflicts=True, unique_fields=targets, update_fields=[by[-1]])
