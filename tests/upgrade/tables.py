"""Reads a database without any model: rows, columns and constraints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from letserver.databases import database_from_url

_ALIAS = "upgrade"

Row = dict[str, Any]
Tables = dict[str, dict[Any, Row]]
"""Table -> primary key -> row."""


@contextmanager
def opened(url: str) -> Iterator[BaseDatabaseWrapper]:
    """Connect to another database than the one that the settings name."""
    settings = {**connections["default"].settings_dict, **database_from_url(url)}
    connection = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, alias=_ALIAS)
    connections[_ALIAS] = connection  # introspection looks its connection up by alias
    try:
        yield connection
    finally:
        connection.close()
        del connections[_ALIAS]


def read_tables(connection: BaseDatabaseWrapper) -> Tables:
    """Return every row of every table, but for the list of migrations."""
    tables: Tables = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table == "django_migrations":
                continue
            key = connection.introspection.get_primary_key_column(cursor, table)
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
            tables[table] = {row[key]: row for row in rows}
    return tables


def read_schema(connection: BaseDatabaseWrapper) -> set[str]:
    """Return a line for each column, and for each constraint and index.

    SQLite numbers foreign keys and checks in the order of the columns, so these have no name here.
    """
    lines: set[str] = set()
    introspection = connection.introspection
    with connection.cursor() as cursor:
        for table in introspection.table_names(cursor):
            for column in introspection.get_table_description(cursor, table):
                # MariaDB gives the longest value as display_size.
                lines.add(f"{table}.{column.name}: {tuple(column._replace(display_size=None))}")
            for name, constraint in introspection.get_constraints(cursor, table).items():
                is_numbered = constraint["foreign_key"] or name.startswith("__unnamed")
                lines.add(f"{table}: {'' if is_numbered else name} {sorted(constraint.items())}")
    return lines


def read_migrations(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    """Return the migrations that the database says were applied."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        return {(app, name) for app, name in cursor.fetchall()}
