"""Start-up checks of database and data folder: refuse only what breaks a promise, and say how to mend it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import Error as DatabaseFault
from django.db import connection

from letserver.private import NotOurs, claim_folder

logger = logging.getLogger(__name__)


def register_checks() -> None:
    """Register the checks; they run at `migrate` and in `manage.py check --database default`."""
    register(check_database, Tags.database)


def check_database(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each server value under which an acknowledged job could be lost or a text mangled."""
    if not databases or connection.vendor != "mysql":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@collation_database, @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog")
        collation, flush, has_binlog, sync_binlog = cursor.fetchone()
    errors: list[CheckMessage] = []
    if collation != "utf8mb4_bin":
        hint = "ALTER DATABASE `name` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; then migrate into the empty database."
        errors.append(
            Error(f"The database's collation is {collation}, not utf8mb4_bin.", hint=hint, id="letserver.E001")
        )
    if int(flush) != 1:
        hint = "Set innodb_flush_log_at_trx_commit=1: with less, a power cut loses jobs that were acknowledged."
        errors.append(Error("The database does not flush its log at every commit.", hint=hint, id="letserver.E002"))
    if int(has_binlog) and int(sync_binlog) != 1:
        hint = "Set sync_binlog=1, or switch the binary log off."
        errors.append(Error("The binary log is not synced at every commit.", hint=hint, id="letserver.E003"))
    return errors


def claim_data_folder() -> None:
    """End this process if the data folder, or a file in it, may be another user's; take the rights of others away.

    A folder that does not exist is no reason: with MySQL nothing but collected static files is in it.
    """
    if not settings.DATA_DIR.exists():
        return
    try:
        tightened = claim_folder(settings.DATA_DIR)
    except NotOurs as error:
        raise SystemExit(f"{error.chinese}\n{error.english}") from error
    if tightened is not None:
        extra = {"action": "data.tightened", "mode": f"{tightened.mode:o}", "paths": tightened.count}
        logger.warning("the data folder was open to other users", extra=extra)


def refuse_broken_promises() -> None:
    """End this process, saying what to mend, if the database breaks a promise.

    A database that does not answer now is no reason: calls get 503 until it does.
    """
    try:
        errors = check_database(databases=["default"])
    except DatabaseFault as error:
        logger.warning("database not checked", extra={"action": "checks.skipped", "error": type(error).__name__})
        return
    finally:
        connection.close()
    if errors:
        raise SystemExit("\n".join(f"{error.msg} {error.hint}" for error in errors))
