"""What somebody may have, and how much of it they have: shown here, counted by the apps that own it.

Registered in `AppConfig.ready()`. Nothing is refused here: the check stands where the thing is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.models import User

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much of one thing a person has, of how much they may have. `bonus`: so much of the limit is on top."""

    name: str | _StrPromise
    used: int
    limit: int
    bonus: int = 0


Count = Callable[[User], Usage | None]
"""Takes a person and tells what they have; None: they have no limit."""

_counts: dict[str, Count] = {}


def register(name: str, usage: Count) -> None:
    """Let `usage` tell of the quota of that name."""
    _counts[name] = usage


def usages(user: User) -> list[Usage]:
    """Return what the person has of everything that is limited for them."""
    return [found for count in _counts.values() if (found := count(user)) is not None]
