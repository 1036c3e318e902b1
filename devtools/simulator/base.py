"""What a platform is to the server: addresses, refusals, settings of the product, and what a person may do there."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from devtools.simulator.push import Pusher
from devtools.simulator.wire import Request, Response
from devtools.simulator.world import Chat, World

Answerer = Callable[[Request, re.Match[str]], Response | Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """Paths that wholly match `pattern` are answered by `answer`."""

    pattern: re.Pattern[str]
    answer: Answerer

    @classmethod
    def of(cls, pattern: str, answer: Answerer) -> Route:
        """Compile."""
        return cls(re.compile(pattern), answer)


class NotHere(Exception):
    """There is no such person, or nobody can do that there; the text says which."""


class Platform(ABC):
    """One platform."""

    name: ClassVar[str]

    def __init__(self, world: World, pusher: Pusher) -> None:
        self.world = world
        self.pusher = pusher

    @abstractmethod
    def routes(self) -> list[Route]:
        """Its addresses."""

    @abstractmethod
    def refuse(self, code: str, **words: object) -> Response:
        """A refusal in this platform's shape. Raises KeyError on a code that its table does not have."""

    def settings(self) -> Mapping[str, str]:
        """What the product needs in its environment to use this platform."""
        return {}

    def configure(self, wish: Mapping[str, object]) -> None:
        """Change the account. Raises ValueError."""
        raise ValueError(f"{self.name} has no account")

    def account(self) -> Mapping[str, object]:
        """The account as it is."""
        return {}

    def configure_robot(self, key: str, wish: Mapping[str, object]) -> None:
        """Add or change a robot, or an address that only listens. Raises ValueError."""
        raise ValueError(f"{self.name} has no robots")

    def add_person(self, wish: Mapping[str, object]) -> Chat:
        """Add somebody. Raises ValueError."""
        raise ValueError(f"nobody lives at {self.name}")

    def person(self, chat: Chat) -> Mapping[str, object]:
        """What this platform knows about a person."""
        return {}

    async def act(self, chat: Chat, action: str, wish: Mapping[str, object]) -> Mapping[str, object]:
        """Let a person do something; return how the push went. Raises NotHere, ValueError."""
        raise NotHere(f"{action} cannot be done at {self.name}")

    async def handshake(self) -> Mapping[str, object]:
        """Check the product's address as the platform does when it is entered. Raises NotHere."""
        raise NotHere(f"{self.name} checks no address")

    def expire_token(self, token: str) -> None:
        """The token has just expired."""
        raise ValueError(f"{self.name} has no tokens")

    def quota_ends(self, code: str) -> float:
        """When a used-up quota begins anew (virtual)."""
        return self.world.clock.now() + 60


def text_of(wish: Mapping[str, object], name: str, *, default: str | None = None) -> str:
    """A text of a control call. Raises ValueError."""
    value = wish.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name}: a text")
    return value


def keep_known(wish: Mapping[str, object], known: Mapping[str, type]) -> dict[str, object]:
    """The wish, once every name and type is known. Raises ValueError."""
    for name, value in wish.items():
        if name not in known:
            raise ValueError(f"{name} is not known; there are {', '.join(known)}")
        if not isinstance(value, known[name]):
            raise ValueError(f"{name}: {known[name].__name__}")
    return dict(wish)
