"""Owner, token and demo agent: made at the first start, the same at every later one."""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from letserver.environment import ROOT
from letserver.up.configuration import Configuration
from letserver.up.folder import write_private
from letserver.up.supervisor import Supervisor
from letserver.up.words import step

_OWNER = "admin"
# Without the characters that people mistake for one another.
_PASSWORD_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # noqa: S105 - an alphabet
_EXAMPLE = ROOT / "skadi" / "skadi.example.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The contents of DATA/credentials. `database` is the fingerprint of the database that they belong to."""

    username: str
    password: str
    user_token: str
    agent_token: str
    database: str


def read_credentials(path: Path, *, database: str) -> Credentials | None:
    """Return the credentials if the file is whole and belongs to this database."""
    try:
        found = Credentials(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.database == database else None


def forget_credentials_of_a_lost_database(configuration: Configuration) -> None:
    """Drop credentials whose SQLite file was deleted; call before migrating."""
    if configuration.sqlite_file is not None and not configuration.sqlite_file.exists():
        (configuration.data / "credentials").unlink(missing_ok=True)


def ensure_credentials(
    supervisor: Supervisor, configuration: Configuration, environment: Mapping[str, str]
) -> Credentials:
    """Return this instance's credentials and leave the demo agent's file in accord with them.

    Killed anywhere in between, the next start finds no credentials and has fresh ones minted; the file is the last
    thing that a first start leaves, and the agent's file is made from it.
    """
    path = configuration.data / "credentials"
    credentials = read_credentials(path, database=configuration.database_mark)
    if credentials is None:
        step("创建管理员、令牌和演示代理", "Making the owner, a token and the demo agent")
        password = "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(16))
        answer = supervisor.run_step(
            "first_start",
            [sys.executable, str(ROOT / "manage.py"), "first_start"],
            environment=environment,
            stdin=json.dumps({"username": _OWNER, "password": password}),
            seconds=60,
        )
        credentials = Credentials(**json.loads(answer), database=configuration.database_mark)
        write_private(path, json.dumps(asdict(credentials), indent=1) + "\n")
    _write_agent_file(configuration, credentials)
    return credentials


def agent_file(configuration: Configuration) -> Path:
    """Return the demo agent's configuration file."""
    return configuration.data / "agent" / "skadi.yml"


def _write_agent_file(configuration: Configuration, credentials: Credentials) -> None:
    """Keep token and address right; everything else in the file is the owner's to edit."""
    path = agent_file(configuration)
    before = path.read_text(encoding="utf-8") if path.exists() else None
    text = before if before is not None else _EXAMPLE.read_text(encoding="utf-8")
    text = set_line(text, "token", f'"{credentials.agent_token}"')
    text = set_line(text, "server", configuration.local_url)
    if text != before:
        write_private(path, text)


def set_line(text: str, key: str, value: str) -> str:
    """Return the YAML text with the top-level `key` set to `value`, the rest untouched."""
    line = f"{key}: {value}"
    changed, count = re.subn(rf"^{key}:.*$", lambda _match: line, text, count=1, flags=re.MULTILINE)
    return changed if count else f"{line}\n{text}"
