"""How long this thread's database connection waits, where the product's ordinary patience is too much."""

from __future__ import annotations

from django.db import connection

STATEMENT_SECONDS = 5.0
"""What a statement may take anywhere (`letserver.databases` sets it at connection)."""


def give_up_within(seconds: int) -> None:
    """Let this thread's connection, from its next connecting on, give up every wait within `seconds`.

    A lock is waited for half as long, so that a locked row is one request's trouble and not its connection's. May be
    called again: a thread that is kept calls this at each turn.
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
