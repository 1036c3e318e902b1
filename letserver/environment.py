"""Every setting, in one table. `docs/settings.md` shows the same table; a test compares them.

A wrong value stops the start with the variable's name and what to write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import environ
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent

Value = str | int | bool | list[str] | Path


class WrongValue(ValueError):
    """The text of a variable is not what it takes; the message says what to write."""


def _text(raw: str) -> str:
    return raw


def _secret(raw: str) -> str:
    if len(raw) < 32:
        raise WrongValue("at least 32 random characters, for example from: openssl rand -base64 48")
    return raw


def _switch(raw: str) -> bool:
    if raw.lower() not in ("on", "off"):
        raise WrongValue("on or off")
    return raw.lower() == "on"


def _folder(raw: str) -> Path:
    return Path(raw).expanduser().absolute()


def _names(raw: str) -> list[str]:
    return [name.strip() for name in raw.split(",") if name.strip()]


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", raw) or not low <= int(raw) <= high:
            raise WrongValue(f"a whole number from {low} to {high}")
        return int(raw)

    return read


def _url(*schemes: str, optional: bool = False) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if optional and not raw:
            return raw
        if urlsplit(raw).scheme not in schemes:
            raise WrongValue("a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return raw

    return read


def _language(raw: str) -> str:
    if raw not in ("zh-hans", "en"):
        raise WrongValue("zh-hans or en")
    return raw


def _zone(raw: str) -> str:
    if raw not in available_timezones():
        raise WrongValue("a time zone name such as Asia/Shanghai")
    return raw


def _level(raw: str) -> str:
    if raw not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise WrongValue("DEBUG, INFO, WARNING or ERROR")
    return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One variable. `default` None means that it must be set."""

    name: str
    default: str | None
    read: Callable[[str], Value]
    meaning: str


SETTINGS = (
    Setting(
        name="LETSERVER_SECRET_KEY",
        default=None,
        read=_secret,
        meaning="Signs sessions and links. `make up` makes one and keeps it in the data folder.",
    ),
    Setting(
        name="LETSERVER_DATA",
        default="data",
        read=_folder,
        meaning="Folder for the SQLite file, credentials, logs and the demo agent.",
    ),
    Setting(name="LETSERVER_HOST", default="127.0.0.1", read=_text, meaning="Address that the web server listens on."),
    Setting(name="LETSERVER_PORT", default="8000", read=_number(1, 65535), meaning="Port that it listens on."),
    Setting(
        name="LETSERVER_PUBLIC_URL",
        default="",
        read=_url("http", "https", optional=True),
        meaning="Address under which people and agents reach this server; empty: made of host and port.",
    ),
    Setting(
        name="LETSERVER_ALLOWED_HOSTS",
        default="localhost,127.0.0.1,[::1]",
        read=_names,
        meaning="Host names that requests may carry, with commas; the public URL's host is always allowed.",
    ),
    Setting(
        name="LETSERVER_TRUSTED_PROXIES",
        default="0",
        read=_number(0, 10),
        meaning="How many reverse proxies stand in front and append to X-Forwarded-For.",
    ),
    Setting(
        name="LETSERVER_DATABASE_URL",
        default="",
        read=_url("sqlite", "mysql", optional=True),
        meaning="mysql://user:password@host:3306/name, or empty for SQLite in the data folder. "
        "A Unix socket is written as mysql://user:password@/name?unix_socket=/path.",
    ),
    Setting(
        name="LETSERVER_REDIS_URL",
        default="redis://127.0.0.1:6379/0",
        read=_url("redis", "rediss", "unix"),
        meaning="redis://:password@host:6379/0, or unix://:password@/path.sock?db=0. `make up` brings its own.",
    ),
    Setting(
        name="LETSERVER_WEB_PROCESSES", default="1", read=_number(1, 64), meaning="Web processes that `make up` starts."
    ),
    Setting(
        name="LETSERVER_GATEWAY",
        default="on",
        read=_switch,
        meaning="on: the hot calls are answered by the gateway; off: everything by Django REST framework.",
    ),
    Setting(
        name="LETSERVER_LEASE_SECONDS",
        default="600",
        read=_number(2, 86_400),
        meaning="How long a job may go without a word from its agent before it expires.",
    ),
    Setting(
        name="LETSERVER_BEAT_LEASE_SECONDS",
        default="120",
        read=_number(2, 86_400),
        meaning="The same for an agent that beats (protocol 2); it beats at least three times in this time.",
    ),
    Setting(
        name="LETSERVER_ACK_SECONDS",
        default="30",
        read=_number(2, 3_600),
        meaning="How long an agent that beats may take to acknowledge a job before it is offered again.",
    ),
    Setting(
        name="LETSERVER_OUTAGE_SECONDS",
        default="30",
        read=_number(2, 3_600),
        meaning="After how long without any gateway deadlines stand still, and move on by the gap.",
    ),
    Setting(
        name="LETSERVER_OFFLINE_SECONDS",
        default="180",
        read=_number(2, 86_400),
        meaning="How long an agent may be silent before it counts as offline.",
    ),
    Setting(
        name="LETSERVER_USER_CALLS_A_MINUTE",
        default="60",
        read=_number(0, 1_000_000),
        meaning="How many calls a minute one user token may make; 0: any number. Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_AGENT_CALLS_A_MINUTE",
        default="600",
        read=_number(0, 1_000_000),
        meaning="How many calls a minute one agent token may make; 0: any number. Agents of staff have no limit.",
    ),
    Setting(
        name="LETSERVER_AUTH_FAILURES_A_MINUTE",
        default="20",
        read=_number(0, 1_000_000),
        meaning="How many unknown tokens a minute one address may try; 0: any number.",
    ),
    Setting(
        name="LETSERVER_LANGUAGE",
        default="zh-hans",
        read=_language,
        meaning="Language of pages for browsers that ask for neither Chinese nor English: zh-hans or en.",
    ),
    Setting(
        name="LETSERVER_TIME_ZONE", default="Asia/Shanghai", read=_zone, meaning="Time zone in which pages show times."
    ),
    Setting(name="LETSERVER_LOG_LEVEL", default="INFO", read=_level, meaning="DEBUG, INFO, WARNING or ERROR."),
    Setting(
        name="LETSERVER_DEBUG",
        default="off",
        read=_switch,
        meaning="on: Django's debug pages. Never where strangers can reach the server.",
    ),
)


def read_environment(variables: Mapping[str, str]) -> dict[str, Value]:
    """Return the value of every setting, by name.

    Raises ImproperlyConfigured that names every wrong variable, what it holds (never for a secret) and what to write;
    also for a LETSERVER_ variable that no setting has, which is most likely a slip of the pen.
    """
    values: dict[str, Value] = {}
    wrong: list[str] = []
    for setting in SETTINGS:
        raw = variables.get(setting.name, setting.default)
        if raw is None:
            wrong.append(f"{setting.name} is not set. {setting.meaning}")
            continue
        try:
            values[setting.name] = setting.read(raw)
        except WrongValue as error:
            hidden = setting.name.endswith(("_KEY", "_URL"))
            shown = "what it holds" if hidden else repr(raw)
            wrong.append(f"{setting.name}: {shown} does not do; write {error}.")
    known = {setting.name for setting in SETTINGS} | INTERNAL_NAMES
    for name in sorted(set(variables) - known):
        if name.startswith("LETSERVER_"):
            wrong.append(f"{name} is not a setting; docs/settings.md lists them all.")
    if wrong:
        raise ImproperlyConfigured("\n".join(wrong))
    return values


INTERNAL_NAMES = frozenset({"LETSERVER_VENV", "LETSERVER_TEST_LANE", "LETSERVER_FAILPOINT"})
"""Variables of the build and of the tests that share the prefix."""


def armed_failpoint() -> str:
    """Return which of `kernel.failpoints` a test has armed; empty: none."""
    return os.environ.get("LETSERVER_FAILPOINT", "")


def load() -> dict[str, Value]:
    """Read `.env` of the checkout, then the process's environment, which wins."""
    env_file = ROOT / ".env"
    if env_file.exists():
        environ.Env.read_env(str(env_file))
    return read_environment(os.environ)
