"""An upgrade loses no row and no value, and ends in the same tables as a new installation."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.upgrade.conftest import Upgrade
from tests.upgrade.old_database import LEAVES
from tests.upgrade.tables import read_migrations, read_schema

pytestmark = pytest.mark.timeout(300)  # the first test builds and migrates the database

_DROPPED = object()

CHANGED_ON_PURPOSE: frozenset[tuple[str, str]] = frozenset()
"""(table, column) pairs that a migration drops or rewrites, each with a reason in that migration."""


KEPT_INDEX = "jobs_job: jobs_job_agent_id_b5ee72ec "
"""Jobs' migration 0007 replaces the index that covers the foreign key to the agent. In between, MariaDB needs this one,
and keeps it. A new database does not have it."""


def test_every_table_of_the_old_product_has_a_row(upgrade: Upgrade) -> None:
    ours = {table for table in upgrade.before if table.startswith(tuple(f"{app}_" for app in LEAVES))}
    assert ours
    assert {table for table in ours if not upgrade.before[table]} == set()


def test_no_row_and_no_value_is_lost(upgrade: Upgrade) -> None:
    rows = {(table, key): row for table, found in upgrade.before.items() for key, row in found.items()}
    kept = {(table, key): row for table, found in upgrade.after.items() for key, row in found.items()}
    assert sorted(rows.keys() - kept.keys(), key=str) == []
    changed = {
        (table, column)
        for (table, key), row in rows.items()
        for column, value in row.items()
        if kept[table, key].get(column, _DROPPED) != value
    }
    assert changed == CHANGED_ON_PURPOSE


def test_agents_that_exist_keep_the_power_of_the_original(upgrade: Upgrade) -> None:
    agents = upgrade.after["agents_agent"].values()
    assert {bool(agent["acts_for_owner"]) for agent in agents} == {True}


@pytest.mark.django_db
def test_an_upgraded_database_has_the_tables_of_a_new_one(upgrade: Upgrade) -> None:
    new = read_schema(connection)
    assert sorted(new - upgrade.schema) == []
    more = upgrade.schema - new
    assert sorted(line for line in more if not line.startswith(KEPT_INDEX)) == []
    assert len(more) == (connection.vendor == "mysql")
    assert read_migrations(connection) == upgrade.migrations
