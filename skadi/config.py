"""skadi.yml: find it, read it, and check whether it can be trusted.

The result is a frozen Config; a reload creates a new one. Scalars are read as text, as the original did, so that
`prefix: 007` and a token that has only digits keep their characters.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping
from urllib.parse import urlsplit

from skadi import values, yamlet
from skadi.entries import LEAST_OUTPUT, MOST_OUTPUT, MOST_SECONDS, Defaults, Entry, EntryReader

SEARCH = ("./skadi.yml", "/etc/skadi/skadi.yml")
TOKEN = re.compile(r"[0-9A-Za-z]{20}\Z")
MOST_ENTRIES = 500
SECTIONS = {"shortcuts": "shortcut", "commands": "command", "templates": "template"}
KEYS = frozenset(
    ["debug", "token", "server", "defaults", "state_dir", "stop_timeout", "insecure_http", "log_messages"]
) | set(SECTIONS)
LATER = frozenset(
    [
        "token_file",
        "servers",
        "name",
        "tags",
        "poll",
        "queues",
        "cron",
        "watches",
        "info",
        "signing",
        "bash",
        "update",
        "publish",
        "journal",
        "redirect_allow",
        "shared",
        "log",
        "calendar",
        "remote_scripts",
    ]
)
DEFAULT_KEYS = frozenset(["timeout", "kill_after", "output", "env", "path"])
LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|::1)\Z")


class ConfigError(ValueError):
    """The agent cannot start with this configuration. The text says what to do."""


@dataclass(frozen=True)
class Server:
    """The address of the server. `prefix` is the path before every call, without a slash at its end."""

    secure: bool
    host: str
    port: int
    prefix: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return "{}://{}:{}{}".format("https" if self.secure else "http", host, self.port, self.prefix)


@dataclass(frozen=True)
class Config:
    """The content of skadi.yml and of the environment. `distrust` says why nothing may run; it is empty if all is
    well.
    """

    path: str
    token: str
    server: Server | None
    debug: bool = False
    log_messages: bool = False
    state_dir: str = ""
    stop_timeout: float = 60.0
    defaults: Defaults = field(default_factory=Defaults)
    entries: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()
    distrust: str = ""

    def of_kind(self, kind: str) -> list[Entry]:
        """Return the entries of a kind (`shortcut`, `command`, `template`), in the order of the file."""
        return [entry for entry in self.entries if entry.kind == kind]


class CurrentConfig:
    """The configuration in force. A reload replaces it, so read `config` once for each decision."""

    def __init__(self, config: Config) -> None:
        self.config = config


def find_file(given: str | None) -> str:
    """Return the path of the configuration. Raises ConfigError."""
    if given:
        return os.path.abspath(given)
    for path in SEARCH:
        if os.path.exists(path):
            return os.path.abspath(path)
    raise ConfigError("no configuration found: looked for {}. Name one with --config FILE".format(" and ".join(SEARCH)))


def read_text(path: str) -> str:
    """Return the text of the file. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            data = file.read(yamlet.MAX_CHARACTERS * 4)
        return data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from error


def load(path: str, environment: Mapping[str, str]) -> Config:
    """Read and check a configuration. Raises ConfigError, but not for a bad entry: that one gets a `refusal`."""
    try:
        document = yamlet.load(read_text(path), typed=False)
    except yamlet.YamlError as error:
        raise ConfigError(f"{path}, {error}") from error
    if document is None:
        document = yamlet.Map()
    if not isinstance(document, yamlet.Map):
        raise ConfigError(f"{path}: expected keys such as token: and server: at the top")
    return _Loader(path, document, environment).load()


def parse_server(text: str, insecure_allowed: bool) -> Server:
    """Parse the address of the server. Raises ConfigError."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"server: {text} is not a valid address: {error}") from error
    if parts.scheme not in ("http", "https") or not host or re.search(r"[^!-~]", text):
        raise ConfigError("server: must be an address such as https://letserver.example, not %s" % (text or "empty"))
    if parts.username or parts.query or parts.fragment:
        raise ConfigError("server: must be a plain address, without user, ? or #")
    secure = parts.scheme == "https"
    if not secure and not LOOPBACK.match(host) and not insecure_allowed:
        raise ConfigError(
            f"server: {text} is plain http, which shows the token to the network. "
            "Use https://, or set `insecure_http: true`"
        )
    return Server(secure, host, port or (443 if secure else 80), parts.path.rstrip("/"))


def permission_problem(path: str) -> str:
    """Return why another user could have written the file, or "" if only its owner and root could.

    A folder with the sticky bit, such as /tmp, is accepted, because other users cannot replace our file there.
    """
    real = os.path.realpath(path)
    for checked in (real, os.path.dirname(real)):
        try:
            status = os.stat(checked)
        except OSError as error:
            return f"{checked}: {error.strerror}"
        if status.st_uid not in (0, os.geteuid()):
            return f"{checked} belongs to another user: chown it to the user of the agent"
        sticky_folder = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_mode & 0o022 and not sticky_folder:
            return f"{checked} can be written by others: run chmod go-w {checked}"
    return ""


def _override(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get("SKADI_" + name) or environment.get("CONFIGOR_" + name) or None


class _Loader:
    def __init__(self, path: str, document: yamlet.Map, environment: Mapping[str, str]) -> None:
        self.path = path
        self.document = document
        self.environment = environment
        self.warnings: list[str] = []

    def load(self) -> Config:
        """Return the configuration. Raises ConfigError."""
        self._check_keys(self.document, KEYS, LATER, 0)
        debug = _override(self.environment, "DEBUG")
        token = _override(self.environment, "TOKEN") or self._get("token", values.text_value, "")
        if token and not TOKEN.match(token):
            raise ConfigError(
                f"{self.path}: the token must be 20 letters and digits, this one has {len(token)} characters"
            )
        address = _override(self.environment, "SERVER") or self._get("server", values.text_value, "")
        insecure = self._get("insecure_http", values.flag, False)
        defaults = self._defaults()
        return Config(
            path=self.path,
            token=token,
            server=parse_server(address, insecure) if address else None,
            debug=self._get("debug", values.flag, False) if debug is None else debug.lower() not in ("false", "0"),
            log_messages=self._get("log_messages", values.flag, False),
            state_dir=self._get("state_dir", values.text_value, ""),
            stop_timeout=self._get("stop_timeout", lambda value: values.seconds(value, 0, 86400.0), 60.0),
            defaults=defaults,
            entries=self._entries(defaults),
            warnings=tuple(self.warnings),
            distrust=permission_problem(self.path) or self._signing(),
        )

    def _get(self, key: str, parse: Callable[[Any], Any], default: Any) -> Any:
        return self._parse(self.document, key, key, parse, default)

    def _parse(self, source: yamlet.Map, key: str, name: str, parse: Callable[[Any], Any], default: Any) -> Any:
        if source.get(key) is None:
            return default
        try:
            return parse(source[key])
        except ValueError as error:
            raise ConfigError(f"{self.path}, line {source.lines[key]}: {name} {error}") from error

    def _warn(self, line: int, text: str) -> None:
        self.warnings.append(f"{self.path}, line {line}: {text}")

    def _check_keys(self, source: yamlet.Map, known: frozenset[str], later: frozenset[str], line: int) -> None:
        for key in source:
            if key in later:
                self._warn(source.lines.get(key, line), f"{key} is for a later version and has no effect")
            elif key not in known:
                close = difflib.get_close_matches(str(key), sorted(known | later), 1)
                hint = f", did you mean {close[0]}?" if close else ""
                self._warn(source.lines.get(key, line), f"unknown key {key}{hint}")

    def _signing(self) -> str:
        """Return why nothing may run: this version cannot check signatures, so it must not run unsigned jobs."""
        wanted = self.document.get("signing")
        mode = wanted.get("mode") if isinstance(wanted, dict) else wanted
        if wanted is None or mode == "none":
            return ""
        return f"{self.path} asks for signing, which this version does not support"

    def _defaults(self) -> Defaults:
        source = self.document.get("defaults")
        if source is None:
            return Defaults()
        if not isinstance(source, yamlet.Map):
            raise ConfigError("{}, line {}: defaults must be a map".format(self.path, self.document.lines["defaults"]))
        self._check_keys(source, DEFAULT_KEYS, frozenset(), self.document.lines["defaults"])

        def get(key: str, parse: Callable[[Any], Any], default: Any) -> Any:
            return self._parse(source, key, "defaults." + key, parse, default)

        plain = Defaults()
        return Defaults(
            timeout=get("timeout", lambda value: values.seconds(value, 0.1, MOST_SECONDS), plain.timeout),
            kill_after=get("kill_after", lambda value: values.seconds(value, 0, 3600.0), plain.kill_after),
            output=get("output", lambda value: values.size(value, LEAST_OUTPUT, MOST_OUTPUT), plain.output),
            env=get("env", values.variables, {}),
            path=get("path", values.text_value, plain.path),
        )

    def _entries(self, defaults: Defaults) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for section, kind in SECTIONS.items():
            items = self.document.get(section)
            if items is None:
                continue
            line = self.document.lines[section]
            if not isinstance(items, list):
                raise ConfigError(f"{self.path}, line {line}: {section} must be a list")
            for item in items:
                if not isinstance(item, yamlet.Map):
                    raise ConfigError(f"{self.path}, line {line}: each of {section} must be a map")
                first = min(item.lines.values(), default=line)
                entry = EntryReader(kind, item, first, defaults, self._warn).read()
                if entry.refusal:
                    self._warn(
                        first, "{} {} never runs: {}".format(kind, entry.name or "without a name", entry.refusal)
                    )
                entries.append(entry)
        if len(entries) > MOST_ENTRIES:
            raise ConfigError(f"{self.path}: more than {MOST_ENTRIES} entries")
        return tuple(entries)
