"""Hide secrets in reports and logs: tokens, and values of variables whose names mark them as secret.

A secret is also found in quotes, escaped, or in base64. It is not found if a program has changed it in another way
(hex, compressed, one character per line).
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
from typing import Any, Callable, Iterable, List, Mapping
from urllib.parse import quote, quote_plus

HIDDEN = "***"
SECRET_NAME = re.compile(r"(?:\A|_)(?:TOKEN|SECRET|PASSWORD|KEY)\Z", re.IGNORECASE)
LEAST_CHARACTERS = 6
LEAST_REMNANT = 4
SHELL_ACTIVE = re.compile(r"([^A-Za-z0-9_@%+=:,./\n-])")


def secret_values(environment: Mapping[str, str], *more: str) -> list[str]:
    """Return the values to hide: those of variables named like *_TOKEN, *_SECRET, *_PASSWORD or *_KEY, and `more`.

    Values of fewer than 6 characters are left out. Hiding `dev` everywhere would make the text unreadable and reveal
    it.
    """
    found = [value for name, value in environment.items() if SECRET_NAME.search(name)]
    values = {value.strip() for value in [*found, *more]}
    return sorted(value for value in values if len(value) >= LEAST_CHARACTERS)


SecretsOfJob = Callable[[Mapping[str, Any]], List[str]]
"""Takes the content of a `job.json` and returns the values to hide."""


def secrets_of_job(job: Mapping[str, Any], tokens: Iterable[str]) -> list[str]:
    """Return the values to hide in the output of a job: tokens, and secret variables of the agent and of the job."""
    own = job.get("env")
    variables = {**os.environ, **own} if isinstance(own, dict) else dict(os.environ)
    return sorted({*secret_values(variables, *tokens), *secret_values(os.environ)})


def _forms(value: str) -> set[str]:
    """Return a secret as it is and as programs write it."""
    in_double = re.sub(r'([\\"$`])', r"\\\1", value)
    forms = {
        value,
        value.replace("'", "'\\''"),
        shlex.quote(value)[1:-1] if "'" in value else value,
        in_double,
        SHELL_ACTIVE.sub(r"\\\1", value),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
    }
    return forms | _base64_forms(value)


def _base64_forms(value: str) -> set[str]:
    """Return the base64 of a secret, and the part that stays the same inside the base64 of a longer text.

    Three bytes become four letters, so a secret inside `user:secret` can begin at three offsets.
    """
    data = value.encode("utf-8", "surrogatepass")
    forms = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        alone = encode(data).decode("ascii")
        forms |= {alone, alone.rstrip("="), encode(data + b"\n").decode("ascii")}
        for before in range(3):
            letters = encode(b"\0" * before + data).decode("ascii")
            first = (before * 8 + 5) // 6
            last = (before + len(data)) * 8 // 6
            forms.add(letters[first:last])
    return {form for form in forms if len(form) >= LEAST_CHARACTERS}


class Redactor:
    """Replace secrets in a text that comes in pieces, also where a piece ends inside a secret.

    Text that may be the beginning of a secret is kept back until the next piece.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for form in _forms(value)}
        # The longest first: if one secret is the beginning of another, the longer one is hidden.
        self.forms = sorted(forms, key=lambda form: (-len(form), form))
        self.firsts = frozenset(form[0] for form in self.forms)
        self.longest = len(self.forms[0]) if self.forms else 0
        self.pattern = re.compile("|".join(re.escape(form) for form in self.forms)) if self.forms else None
        self.held = ""

    def feed(self, text: str) -> str:
        """Return the text that cannot change any more."""
        if self.pattern is None:
            return text
        text = self.held + text
        done = []
        at = 0
        while True:
            open_at = self._open_at(text, at)
            found = self.pattern.search(text, at)
            if found is None or found.start() >= open_at:
                break
            done += [text[at : found.start()], HIDDEN]
            at = found.end()
        self.held = text[open_at:]
        return "".join([*done, text[at:open_at]])

    def finish(self) -> str:
        """Return the text that was kept back. No more pieces come."""
        held, self.held = self.held, ""
        return self.pattern.sub(HIDDEN, held) if self.pattern else held

    def gap(self) -> str:
        """Return the text that was kept back before a gap, and hide it if it may be the first part of a secret."""
        held = self.held
        if len(held) >= LEAST_REMNANT:
            self.held = ""
            return HIDDEN
        return self.finish()

    def after_gap(self, line: str) -> str:
        """Return the first line after a gap, and hide the last part of a secret at its beginning."""
        for form in self.forms:
            for size in range(len(form) - 1, LEAST_REMNANT - 1, -1):
                if line.startswith(form[-size:]):
                    return HIDDEN + line[size:]
        return line

    def _open_at(self, text: str, at: int) -> int:
        """Return where, from `at` on, an incomplete secret may begin; the length of the text if nowhere."""
        for start in range(max(at, len(text) - self.longest + 1), len(text)):
            if text[start] in self.firsts:
                rest = text[start:]
                if any(len(form) > len(rest) and form.startswith(rest) for form in self.forms):
                    return start
        return len(text)


def redact(text: str, values: Iterable[str]) -> str:
    """Return a complete text with its secrets hidden."""
    redactor = Redactor(values)
    return redactor.feed(text) + redactor.finish()
