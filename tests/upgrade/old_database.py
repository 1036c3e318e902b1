"""Builds a database as version 6622995 left it: `python -m tests.upgrade.old_database`, in an empty database.

`old_rows.json` holds the rows that this version wrote when it was used over HTTP and chat, and the tokens that belong
to them. They are inserted through the models of its migrations, so that today's models play no part.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

LEAVES = {
    "accounts": "0003_user_bonus_agents",
    "agents": "0003_in_queues",
    "chat": "0001_initial",
    "jobs": "0008_lists_by_time",
    "notifications": "0006_mailboxes_in_use_are_confirmed",
}
"""The last migration of each app at that commit."""

_FILLED_BY_MIGRATIONS = ("jobs.CalendarDay", "jobs.WorkCalendar")


def read_old() -> dict[str, Any]:
    """Return the file: `rows` by model, `ids` by name, tokens, the secret key, and `at`, when it was written.

    `requests` holds (path, body, idempotency key, name of the row that it made).
    """
    path = Path(__file__).with_name("old_rows.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def build() -> None:
    """Migrate to the old state, step by step as servers came there, and insert the rows."""
    from django.db import connection, transaction

    apps = _migrate_to_leaves()
    old = read_old()
    for label in _FILLED_BY_MIGRATIONS:
        apps.get_model(label)._base_manager.all().delete()
    shift = _whole_minutes_since(dt.datetime.fromisoformat(old["at"]))
    with connection.constraint_checks_disabled(), transaction.atomic():
        for label, rows in old["rows"].items():
            model = apps.get_model(label)
            fields = {field.attname: field for field in model._meta.concrete_fields}
            model._base_manager.bulk_create(
                model(**{name: _decode(fields[name], value, shift) for name, value in row.items()}) for row in rows
            )
    connection.check_constraints()


def _migrate_to_leaves() -> Any:
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    executor.loader.replace_migrations = False
    executor.loader.build_graph()
    graph = executor.loader.graph
    targets = [node for node in graph.leaf_nodes() if node[0] not in LEAVES] + list(LEAVES.items())
    executor.migrate(targets)
    return executor.loader.project_state(targets).apps


def _whole_minutes_since(at: dt.datetime) -> dt.timedelta:
    """Return by how much the old times move: what was due then is due now, and cron lines still meet their minutes."""
    return dt.timedelta(minutes=(dt.datetime.now(dt.UTC) - at) // dt.timedelta(minutes=1))


def _decode(field: Any, value: Any, shift: dt.timedelta) -> Any:
    match field.get_internal_type():
        case "DateTimeField":
            return dt.datetime.fromisoformat(value) + shift
        case "DateField":
            return dt.date.fromisoformat(value)
        case "TimeField":
            return dt.time.fromisoformat(value)
        case "BinaryField":
            return base64.b64decode(value)
    return value


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letserver.settings")
    import django

    django.setup()
    build()
