"""One entry of the whitelist: a shortcut, a command or a template, read strictly from its map in skadi.yml.

A bad entry is kept with a `refusal`, and a job for it fails with that text. So a mistake in one line does not stop the
agent, and no command runs with less protection than the file asks for.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from skadi import values
from skadi.shelltext import needs_shell, parse_shell, shell_operator, shell_runs_code, value_becomes_code
from skadi.template import (
    MAX_ARGUMENTS,
    PlaceholderScanner,
    Template,
    TemplateError,
    WordTemplate,
    parse_words,
    split_placeholders,
)
from skadi.words import WordsError, split_words

NAME_KEYS = {"shortcut": "short", "command": "prefix", "template": "name"}
TEXT_KEYS = {"shortcut": "cmd", "command": "prefix", "template": "temp"}
OPTION_KEYS = frozenset(
    [
        "timeout",
        "kill_after",
        "dir",
        "env",
        "umask",
        "args",
        "max_args",
        "options",
        "shell",
        "output",
        "hidden",
        "description",
        "user",
        "group",
        "match",
        "confirm",
    ]
)
# Keys of later versions. Without a key of the first set, an entry would run with less protection than the file asks.
PROTECTING_LATER = frozenset(["secrets", "limits", "redact", "before", "signing"])
OTHER_LATER = frozenset(
    [
        "queue",
        "concurrency",
        "distinct",
        "overlap",
        "nice",
        "idempotent",
        "detach",
        "stdin",
        "after",
        "on_fail",
        "artifacts",
    ]
)
PROTECTING_NOW = "args max_args options user group umask timeout shell match confirm"
PROTECTING = PROTECTING_LATER | set(PROTECTING_NOW.split())
LEAST_OUTPUT, MOST_OUTPUT = 1024, 16 * 1024 * 1024
MOST_SECONDS = 7 * 86400.0


@dataclass(frozen=True)
class Defaults:
    """The values for keys that an entry leaves out."""

    timeout: float = 600.0
    kill_after: float = 10.0
    output: int = 1024 * 1024
    env: Mapping[str, str] = field(default_factory=dict)
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Entry:
    """An entry of the whitelist, ready to be matched. `refusal` says why it never runs; it is empty if it may."""

    kind: str
    name: str
    text: str
    line: int = 0
    words: tuple[str, ...] = ()
    template: Template | None = None
    directory: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 600.0
    kill_after: float = 10.0
    output: int = 1024 * 1024
    umask: int = 0o022
    user: str = ""
    group: str = ""
    args: tuple[re.Pattern[str], ...] = ()
    max_args: int = MAX_ARGUMENTS
    options_allowed: bool = True
    shell: bool = False
    unsafe: bool = False
    hidden: bool = False
    confirm: bool = False
    description: str = ""
    refusal: str = ""


class EntryReader:
    """Read one map into an Entry and collect its problems."""

    def __init__(self, kind: str, source: Any, line: int, defaults: Defaults, warn: Callable[[int, str], None]) -> None:
        self.kind = kind
        self.source = source
        self.lines: Mapping[str, int] = getattr(source, "lines", {})
        self.line = line
        self.defaults = defaults
        self.warn = warn
        self.problems: list[str] = []

    def read(self) -> Entry:
        """Return the entry. A bad value raises nothing, see `Entry.refusal`."""
        name = self._get(NAME_KEYS[self.kind], values.text_value, "")
        text = self._get(TEXT_KEYS[self.kind], values.text_value, "")
        for key in {NAME_KEYS[self.kind], TEXT_KEYS[self.kind]}:
            if not (self.source.get(key) or ""):
                self._problem(key, "is missing")
        self._check_keys()
        defaults = self.defaults
        fields: dict[str, Any] = {
            "directory": self._get("dir", values.text_value, ""),
            "env": {**defaults.env, **self._get("env", values.variables, {})},
            "timeout": self._get("timeout", lambda value: values.seconds(value, 0.1, MOST_SECONDS), defaults.timeout),
            "kill_after": self._get("kill_after", lambda value: values.seconds(value, 0, 3600.0), defaults.kill_after),
            "output": self._get("output", lambda value: values.size(value, LEAST_OUTPUT, MOST_OUTPUT), defaults.output),
            "umask": self._get("umask", values.mode, 0o022),
            "user": self._get("user", values.text_value, ""),
            "group": self._get("group", values.text_value, ""),
            "args": self._get("args", values.patterns, ()),
            "max_args": self._get("max_args", lambda value: values.count(value, 0, MAX_ARGUMENTS), MAX_ARGUMENTS),
            "options_allowed": self._get("options", _options, self.kind == "command"),
            "unsafe": self._get("match", _match, False),
            "confirm": self._get("confirm", _confirm, False),
            "hidden": self._get("hidden", values.flag, False),
            "description": self._get("description", values.text_value, ""),
        }
        wants_shell = self._get("shell", values.flag, None)
        fields.update(self._parse_text(text, wants_shell, fields))
        if (fields["user"] or fields["group"]) and os.geteuid() != 0:
            self.problems.append("user and group need an agent that runs as root")
        elif fields["user"] or fields["group"]:
            self._check_account(fields["user"], fields["group"])
        return Entry(kind=self.kind, name=name, text=text, line=self.line, refusal="; ".join(self.problems), **fields)

    def _get(self, key: str, parse: Callable[[Any], Any], default: Any) -> Any:
        if key not in self.source or (self.source[key] is None and key not in PROTECTING):
            return default
        try:
            return parse(self.source[key])
        except ValueError as error:
            self._problem(key, str(error))
            return default

    def _problem(self, key: str, text: str) -> None:
        self.problems.append(f"{key} {text}")

    def _check_keys(self) -> None:
        known = OPTION_KEYS | {NAME_KEYS[self.kind], TEXT_KEYS[self.kind]}
        for key in self.source:
            line = self.lines.get(key, self.line)
            if key in PROTECTING_LATER:
                self.problems.append(f"{key} is not supported by this version")
            elif key in OTHER_LATER:
                self.warn(line, f"{key} is for a later version and has no effect")
            elif key not in known:
                close = difflib.get_close_matches(str(key), sorted(known | PROTECTING_LATER | OTHER_LATER), 1, 0.7)
                hint = f", did you mean {close[0]}?" if close else ""
                self.warn(line, f"unknown key {key}{hint}")
                if close and close[0] in PROTECTING:
                    self.problems.append(f"unknown key {key}{hint}")
        if self.kind == "shortcut" and ("args" in self.source or "max_args" in self.source):
            self.warn(self.line, "a shortcut takes no arguments: args and max_args have no effect")

    def _parse_text(self, text: str, wants_shell: bool | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields words, template and shell."""
        shell = bool(wants_shell) or bool(fields["unsafe"])
        if self.kind == "shortcut":
            shell = shell or (wants_shell is None and needs_shell(text))
        found: dict[str, Any] = {"shell": shell}
        try:
            if self.kind == "template" and fields["unsafe"]:
                found["template"] = parse_as_written(text)
            elif self.kind == "template":
                found["template"] = self._template(text, shell, fields)
            elif self.kind == "command" or not shell:
                found["words"] = tuple(split_words(text))
                if not found["words"] and text:
                    self.problems.append(f"there is no word in {TEXT_KEYS[self.kind]}")
                if self.kind == "command" and not shell and shell_operator(text):
                    self.warn(self.line, f"{shell_operator(text)} in a prefix is plain text, no shell reads it")
        except (TemplateError, WordsError) as error:
            self._problem(TEXT_KEYS[self.kind], f"cannot be used: {error}")
        return found

    def _template(self, text: str, shell: bool, fields: Mapping[str, Any]) -> Template:
        if shell:
            script = parse_shell(text)
            template: Template = script
            risk = shell_runs_code(script, text, fields["options_allowed"]) if script.placeholders else ""
        else:
            operator = shell_operator(text)
            if operator:
                found = operator.strip() or "a line break"
                raise TemplateError(f"{found} needs `shell: true`, or quotes if it is meant as text")
            words = parse_words(text)
            template, risk = words, value_becomes_code(words.words, fields["options_allowed"])
        if risk and not fields["args"]:
            raise TemplateError(f"{risk}; say what it may be with `args: ['^...$']`")
        return template

    def _check_account(self, user: str, group: str) -> None:
        import grp
        import pwd

        try:
            if user:
                pwd.getpwnam(user)
            if group:
                grp.getgrnam(group)
        except KeyError:
            self.problems.append("there is no user or group {}".format((user + " " + group).strip()))
        if group and not user:
            self.problems.append("group needs user")


def parse_as_written(text: str) -> Template:
    """Parse a template with `match: string`. Its values are pasted into the text, so only their number is checked."""
    scanner = PlaceholderScanner()
    parts = split_placeholders(text, scanner)
    return WordTemplate(placeholders=tuple(scanner.placeholders), words=(parts,))


def _confirm(value: Any) -> bool:
    """Return whether the owner must confirm the job. One-time passwords are for a later version."""
    if not value:
        raise ValueError("has no value")
    try:
        return values.flag(value)
    except ValueError as error:
        raise ValueError("is not supported by this version") from error


def _options(value: Any) -> bool:
    text = values.text_value(value)
    if text not in ("allow", "refuse"):
        raise ValueError(f"must be allow or refuse, not {value}")
    return text == "allow"


def _match(value: Any) -> bool:
    text = values.text_value(value)
    if text not in ("words", "string"):
        raise ValueError(f"must be words or string, not {value}")
    return text == "string"
