"""Faults that tests inject: the calls that they match, how often, and the effect.

Actions on a call: `errcode:N` (the platform's own refusal), `expire_token` (the token used has just expired: 42001),
`invalidate_token` (40001 to every call with a token), `quota:N` (N until the platform's quota is reset), `http:N`,
`html` (200 with a page), `drop_connection` (before the platform processed it). On the answer, after the platform
processed the call: `delay_ms:N`, `truncate_json`, `drop_answer`. On a push to the product: `dup_push:K` (K repeats
after the answer), `early_dup_push` (one repeat before it), `reorder` (sent after the next push), `bad_signature`,
`replay` (a timestamp of ten minutes ago).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

_ON_CALL: Final = ("errcode", "expire_token", "invalidate_token", "quota", "http", "html", "drop_connection")
_ON_ANSWER: Final = ("delay_ms", "truncate_json", "drop_answer")
_ON_PUSH: Final = ("dup_push", "early_dup_push", "reorder", "bad_signature", "replay")
_STAGES: Final = {
    **dict.fromkeys(_ON_CALL, "call"),
    **dict.fromkeys(_ON_ANSWER, "answer"),
    **dict.fromkeys(_ON_PUSH, "push"),
}
_WITH_VALUE: Final = ("errcode", "quota", "http", "delay_ms", "dup_push")
_NUMBERS: Final = ("http", "delay_ms", "dup_push")


class BadFault(ValueError):
    """The action is unknown or its value is missing; the text names it."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault. `path` is a glob (`push/wechat` is a push); `nth` counts matching calls; `times` None: always."""

    path: str
    openid: str
    nth: int | None
    times: int | None
    kind: str
    value: str
    seen: int = 0
    used: int = 0
    until: float | None = None

    @property
    def stage(self) -> str:
        """`call`, `answer` or `push`."""
        return _STAGES[self.kind]

    def count_match(self, path: str, openid: str) -> bool:
        """Count this call, and return whether the fault applies to it."""
        if not fnmatchcase(path, self.path) or (self.openid and self.openid != openid):
            return False
        self.seen += 1
        if (self.nth is not None and self.seen < self.nth) or (self.times is not None and self.used >= self.times):
            return False
        self.used += 1
        return True

    def shown(self) -> dict[str, object]:
        action = f"{self.kind}:{self.value}" if self.value else self.kind
        match = {"path": self.path, "openid": self.openid, "nth": self.nth}
        return {"match": match, "times": self.times, "action": action, "seen": self.seen, "used": self.used}


class Faults:
    """The injected faults."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, options: Mapping[str, object]) -> Fault:
        """Add `{match: {path, openid, nth}, times, action}`; `times` defaults to 1. Raises BadFault."""
        kind, _, value = str(options.get("action", "")).partition(":")
        if kind not in _STAGES:
            raise BadFault(f"no action {kind!r}")
        if (kind in _WITH_VALUE) != bool(value) or (kind in _NUMBERS and not value.isdigit()):
            raise BadFault(f"{kind} {'needs a number' if kind in _WITH_VALUE else 'takes no value'}")
        match = options.get("match") or {}
        if not isinstance(match, dict) or not set(match) <= {"path", "openid", "nth"}:
            raise BadFault("match takes path, openid, nth")
        lasting = kind in ("invalidate_token", "quota")
        times, nth = options.get("times", None if lasting else 1), match.get("nth")
        if not all(number is None or (isinstance(number, int) and number > 0) for number in (times, nth)):
            raise BadFault("times and nth are numbers from 1")
        fault = Fault(
            path=match.get("path") or ("push/*" if _STAGES[kind] == "push" else "*"),
            openid=match.get("openid") or "",
            nth=nth,
            times=times,  # type: ignore[arg-type]
            kind=kind,
            value=value,
        )
        self._faults.append(fault)
        return fault

    def take_matching(self, stage: str, path: str, openid: str) -> list[Fault]:
        """Return the faults that apply to this call, and count each."""
        return [fault for fault in self._faults if fault.stage == stage and fault.count_match(path, openid)]

    def clear(self) -> None:
        self._faults.clear()

    def shown(self) -> list[dict[str, object]]:
        return [fault.shown() for fault in self._faults]
