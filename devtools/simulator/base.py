"""The interface of a platform: its addresses, refusals and settings, and the actions of the people who use it."""

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
    """A handler and the pattern that the full path must match."""

    pattern: re.Pattern[str]
    answer: Answerer

    @classmethod
    def of(cls, pattern: str, answer: Answerer) -> Route:
        return cls(re.compile(pattern), answer)


class NotHere(Exception):
    """The person does not exist, or the platform does not offer the action; the text says which."""


class Platform(ABC):
    name: ClassVar[str]

    def __init__(self, world: World, pusher: Pusher) -> None:
        self.world = world
        self.pusher = pusher

    @abstractmethod
    def routes(self) -> list[Route]:
        """Its addresses."""

    @abstractmethod
    def refuse(self, code: str, **words: object) -> Response:
        """Return a refusal in this platform's format. Raises KeyError for a code that is not in its table."""

    def settings(self) -> Mapping[str, str]:
        """Return the environment variables that make the product use this platform, without their prefix."""
        return {}

    def configure(self, options: Mapping[str, object]) -> None:
        """Change the account's settings. Raises ValueError."""
        raise ValueError(f"{self.name} has no account")

    def account(self) -> Mapping[str, object]:
        """Return the account's settings."""
        return {}

    def configure_robot(self, key: str, options: Mapping[str, object]) -> None:
        """Add or change a robot, or an address that only receives. Raises ValueError."""
        raise ValueError(f"{self.name} has no robots")

    def add_person(self, options: Mapping[str, object]) -> Chat:
        """Add a person who uses the platform. Raises ValueError."""
        raise ValueError(f"nobody lives at {self.name}")

    def person(self, chat: Chat) -> Mapping[str, object]:
        """Return the platform's data about a person."""
        return {}

    async def act(self, chat: Chat, action: str, options: Mapping[str, object]) -> Mapping[str, object]:
        """Let a person do something; return the result of its push to the product. Raises NotHere, ValueError."""
        raise NotHere(f"{action} cannot be done at {self.name}")

    async def handshake(self) -> Mapping[str, object]:
        """Check the product's callback address as the platform does when an owner enters it. Raises NotHere."""
        raise NotHere(f"{self.name} checks no address")

    def expire_token(self, token: str) -> None:
        """Let this token expire now."""
        raise ValueError(f"{self.name} has no tokens")

    def quota_ends(self, code: str) -> float:
        """Return the virtual time at which the quota behind this code is reset."""
        return self.world.clock.now() + 60


def text_of(options: Mapping[str, object], name: str, *, default: str | None = None) -> str:
    """Return a text from the body of a control call. Raises ValueError if it is missing or not a text."""
    value = options.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name}: a text")
    return value


def keep_known(options: Mapping[str, object], known: Mapping[str, type]) -> dict[str, object]:
    """Return the options after a check of every name and type. Raises ValueError."""
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{name} is not known; there are {', '.join(known)}")
        if not isinstance(value, known[name]):
            raise ValueError(f"{name}: {known[name].__name__}")
    return dict(options)
