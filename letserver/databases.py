"""One database URL -> Django's settings for it; session values are set at every connection."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from kernel.connections import STATEMENT_SECONDS

_SQLITE_SESSION = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
    "PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8000;"
)
_MYSQL_SESSION = "SET sql_mode='TRADITIONAL,ONLY_FULL_GROUP_BY', innodb_lock_wait_timeout=5, time_zone='+00:00'"


def database_from_url(url: str) -> dict[str, Any]:
    """Return one entry of DATABASES for sqlite:///path or mysql://user:password@host:port/name[?unix_socket=path].

    SQLite: WAL keeps readers and the writer apart, IMMEDIATE makes a transaction wait at its begin instead of failing
    at its first write, FULL makes a commit survive a power cut. MySQL: READ COMMITTED, because the default locks gaps
    and makes a poll of an empty queue block the next insert.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path),
            "CONN_MAX_AGE": 0,
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": _SQLITE_SESSION},
            # A file like the real one: in memory, connections of several threads lock each other out.
            "TEST": {"NAME": unquote(parts.path) + ".test"},
        }
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    socket = query.pop("unix_socket", "")
    if query or not parts.path.strip("/"):
        raise ImproperlyConfigured(
            "LETSERVER_DATABASE_URL: write mysql://user:password@host:3306/name, with ?unix_socket=/path for a socket."
        )
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": socket or parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            "charset": "utf8mb4",
            "collation": "utf8mb4_bin",
            "isolation_level": "read committed",
            "init_command": _MYSQL_SESSION,
            "connect_timeout": 3,
            "read_timeout": 5,
            "write_timeout": 5,
        },
        "TEST": {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_bin"},
    }


def set_session_values_at_connection() -> None:
    """Give every MySQL or MariaDB connection a statement time of 5 s; the two spell it differently."""
    connection_created.connect(_limit_statement_time, dispatch_uid="letserver.databases")


def _limit_statement_time(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.vendor != "mysql":
        return
    with connection.cursor() as cursor:
        is_mariadb = connection.mysql_is_mariadb  # type: ignore[attr-defined]
        seconds = connection.settings_dict.get("STATEMENT_SECONDS", STATEMENT_SECONDS)
        cursor.execute(
            f"SET max_statement_time={seconds}" if is_mariadb else f"SET max_execution_time={int(seconds * 1000)}"
        )
