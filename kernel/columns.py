"""An operation for migrations that add more than one column."""

from __future__ import annotations

from typing import Any

from django.db import migrations


class AddColumn(migrations.AddField):
    """`AddField` that may run again: a column that is there already is left as it is.

    MySQL commits each ALTER TABLE by itself. A migration that broke off in the middle, on a lock or a full disk, is
    run again from its first operation, and a plain AddField would then fail on a duplicate column.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Add the column unless it is there."""
        if schema_editor.collect_sql:  # `sqlmigrate` only shows the statement
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, model._meta.db_table)
        if model._meta.get_field(self.name).column not in {column.name for column in columns}:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
