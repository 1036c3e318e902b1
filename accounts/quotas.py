"""A registry of quotas to show: the apps that own the things count them and register in `AppConfig.ready()`.

This module refuses nothing. The service that creates a thing checks its quota.
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
    """The used part and the limit of one quota of a person. `limit` includes `bonus`, which the person earned."""

    name: str | _StrPromise
    used: int
    limit: int
    bonus: int = 0


Count = Callable[[User], Usage | None]
"""Takes a person and returns their usage; None: they have no limit."""

_counts: dict[str, Count] = {}


def register(name: str, usage: Count) -> None:
    """Register the function that counts the quota of that name."""
    _counts[name] = usage


def usages(user: User) -> list[Usage]:
    """Return the usage of every quota that limits the person."""
    return [found for count in _counts.values() if (found := count(user)) is not None]
