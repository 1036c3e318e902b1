"""The settings of one start from the environment and `.env`, checked before anything is started."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import environ
from django.core.exceptions import ImproperlyConfigured

from letserver.environment import ROOT, read_environment
from letserver.up.words import Refusal

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One start. `redis_url` is None where the instance brings its own Redis."""

    data: Path
    host: str
    port: int
    web_processes: int
    courier_threads: int
    redis_url: str | None
    database_url: str
    public_url: str
    secret_key: str | None

    @property
    def local_host(self) -> str:
        """Return an address under which this machine reaches the web port."""
        return _ANY_ADDRESS.get(self.host, self.host)

    @property
    def local_url(self) -> str:
        """Return the base URL for this machine."""
        host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
        return f"http://{host}:{self.port}"

    @property
    def sqlite_file(self) -> Path | None:
        """Return the embedded database's file; None where the database was chosen by URL."""
        return None if self.database_url else self.data / "letserver.sqlite3"

    @property
    def database_mark(self) -> str:
        """Return a hash that differs for each database and does not reveal its password."""
        place = self.database_url or str(self.sqlite_file)
        return hashlib.sha256(place.encode()).hexdigest()[:16]


def read_configuration() -> Configuration:
    """Read `.env`, then the environment, which wins. Raises Refusal that names what is wrong."""
    env_file = ROOT / ".env"
    if env_file.exists():
        environ.Env.read_env(str(env_file))
    given = os.environ
    try:
        # The key may be missing here: the data folder has one, or will have.
        values = read_environment({"LETSERVER_SECRET_KEY": "0" * 64, **given})
    except ImproperlyConfigured as error:
        sentence = " ".join(str(error).split())
        raise Refusal(f"设置有误：{sentence}", f"A setting is wrong: {sentence}") from error
    return Configuration(
        data=cast(Path, values["LETSERVER_DATA"]),
        host=cast(str, values["LETSERVER_HOST"]),
        port=cast(int, values["LETSERVER_PORT"]),
        web_processes=cast(int, values["LETSERVER_WEB_PROCESSES"]),
        courier_threads=cast(int, values["LETSERVER_COURIER_THREADS"]),
        redis_url=given.get("LETSERVER_REDIS_URL") or None,
        database_url=cast(str, values["LETSERVER_DATABASE_URL"]),
        public_url=cast(str, values["LETSERVER_PUBLIC_URL"]),
        secret_key=given.get("LETSERVER_SECRET_KEY") or None,
    )


def server_environment(configuration: Configuration, *, secret_key: str, redis_url: str) -> dict[str, str]:
    """Return the environment of every process of the server."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "letserver.settings",
        "LETSERVER_DATA": str(configuration.data),
        "LETSERVER_SECRET_KEY": secret_key,
        "LETSERVER_REDIS_URL": redis_url,
        "LETSERVER_PUBLIC_URL": configuration.public_url or configuration.local_url,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


def agent_environment(configuration: Configuration, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of the demo agent: nothing that only the server should know."""
    kept = {name: value for name, value in environment.items() if not name.startswith(("LETSERVER_", "DJANGO_"))}
    return {
        **kept,
        "SKADI_STATE_DIR": str(configuration.data / "agent" / "state"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }
