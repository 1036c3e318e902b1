"""The number of customer-service messages that an account may still send to one person, and until when.

An action of the person opens a window (微信开放文档 · 客服消息): a text 48 hours, a menu click, a follow and a scan
one minute each. The documents do not say how overlapping windows add up; `merge` chooses between two readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from devtools.simulator.clock import Clock

KINDS: Final = ("text", "menu", "follow", "scan")
_TWO_DAYS: Final = 48 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """`number` messages within `seconds` of the person's action."""

    number: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`merge`: `max` keeps windows of different kinds beside each other, `replace` only the newest of all."""

    by_kind: Mapping[str, Allowance]
    merge: str = "max"

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Rules:
        """Read `{"text": 5, "menu": [3, 60], "merge": "replace"}` over the defaults. Raises ValueError."""
        if not set(options) <= {*KINDS, "merge"} or options.get("merge", "max") not in ("max", "replace"):
            raise ValueError(f"rules are of {', '.join(KINDS)}, and merge is max or replace")
        by_kind = dict(DEFAULT.by_kind)
        for kind in set(options) & set(KINDS):
            match options[kind]:
                case int(number):
                    by_kind[kind] = Allowance(number=number, seconds=by_kind[kind].seconds)
                case [int(number), int() | float() as seconds]:
                    by_kind[kind] = Allowance(number=number, seconds=seconds)
                case _:
                    raise ValueError(f"{kind}: a number, or a number and seconds")
        return cls(by_kind=by_kind, merge=str(options.get("merge", "max")))


DEFAULT: Final = Rules(
    by_kind={
        "text": Allowance(number=20, seconds=_TWO_DAYS),
        "menu": Allowance(number=3, seconds=60),
        "follow": Allowance(number=3, seconds=60),
        "scan": Allowance(number=3, seconds=60),
    }
)


@dataclass(slots=True, kw_only=True)
class Window:
    """One window, opened by one action of a person."""

    kind: str
    left: int
    until: float


@dataclass(slots=True)
class Credit:
    """The windows of one person."""

    clock: Clock
    windows: list[Window] = field(default_factory=list)

    def _open(self) -> list[Window]:
        now = self.clock.now()
        self.windows = [window for window in self.windows if window.until > now]
        return self.windows

    def earn(self, kind: str, rules: Rules) -> None:
        """Open a window for an action of the person; it replaces the older one of its kind."""
        allowance = rules.by_kind[kind]
        kept = [] if rules.merge == "replace" else [window for window in self._open() if window.kind != kind]
        until = self.clock.now() + allowance.seconds
        self.windows = [*kept, Window(kind=kind, left=allowance.number, until=until)]

    def refusal(self) -> str:
        """Return the code with which a message would be refused now, or ""."""
        if not self._open():
            return "45015"
        return "" if self.left else "45047"

    def spend(self) -> None:
        """Take one message from the window that ends first. Call `refusal` before: it must have returned ""."""
        filled = [window for window in self._open() if window.left > 0]
        min(filled, key=lambda window: window.until).left -= 1

    def close(self) -> None:
        """Close all windows: the person unfollowed."""
        self.windows = []

    @property
    def left(self) -> int:
        """The number of messages left in all open windows."""
        return sum(window.left for window in self._open())

    @property
    def until(self) -> float | None:
        """The end of the last open window (virtual); None without one."""
        return max((window.until for window in self._open()), default=None)

    def shown(self) -> list[dict[str, object]]:
        return [{"kind": window.kind, "left": window.left, "until": window.until} for window in self._open()]
