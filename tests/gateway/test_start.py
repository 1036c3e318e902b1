"""The server refuses to start on a database that would lose what it acknowledged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from letserver.checks import check_database, refuse_broken_promises

pytestmark = [pytest.mark.mariadb_only, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def flushing_once_a_second() -> Iterator[None]:
    """A server that an administrator configured to flush only once a second."""
    with connection.cursor() as cursor:
        cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")


def test_a_safe_server_is_accepted() -> None:
    assert check_database(databases=["default"]) == []
    refuse_broken_promises()


@pytest.mark.usefixtures("flushing_once_a_second")
def test_a_server_that_does_not_flush_at_commit_is_refused_with_the_fix() -> None:
    with pytest.raises(SystemExit, match="innodb_flush_log_at_trx_commit=1"):
        refuse_broken_promises()


def test_a_database_with_a_case_insensitive_collation_is_refused_with_the_fix() -> None:
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE `{name}` COLLATE utf8mb4_general_ci")
    try:
        with pytest.raises(SystemExit, match="utf8mb4_bin"):
            refuse_broken_promises()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE `{name}` COLLATE utf8mb4_bin")
