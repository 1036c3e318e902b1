"""Shorter timeouts for the database connection of a thread that must answer soon."""

from __future__ import annotations

from django.db import connection

STATEMENT_SECONDS = 5.0
"""The time limit of a statement on every other connection (`letserver.databases` sets it)."""


def give_up_within(seconds: int) -> None:
    """Let this thread's connection, from its next connecting on, give up every wait within `seconds`.

    A lock is waited for half as long, so that a locked row fails one request and not the connection. A call
    that changes nothing costs nothing.
    """
    if connection.settings_dict.get("GIVE_UP_SECONDS") == seconds:
        return
    options = dict(connection.settings_dict["OPTIONS"])
    settings = {**connection.settings_dict, "GIVE_UP_SECONDS": seconds}
    if connection.vendor == "mysql":
        options |= {"read_timeout": seconds, "write_timeout": seconds, "connect_timeout": seconds}
        options["init_command"] += f", innodb_lock_wait_timeout={max(1, seconds // 2)}"
        settings["STATEMENT_SECONDS"] = seconds * 0.75
    else:
        options["timeout"] = seconds
    connection.settings_dict = {**settings, "OPTIONS": options}
