"""A call and a backend, with which every handler of a hot call works. The gateway and Django implement both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from accounts.credentials import Principal
from agents.services.presence import AgentTouch
from jobs.gateway.batch import WriteKind
from jobs.gateway.waiters import Bell, Waiters
from jobs.life.claim import PutBack
from kernel.strictjson import JsonObject

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")


@dataclass(slots=True, kw_only=True)
class Answer:
    """Status, JSON body (None: empty) and headers beyond the common ones."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


class Disconnected(Exception):
    """The caller closed the connection: no answer can be sent."""


class Call(Protocol):
    """One HTTP request. `disconnected`: the caller has closed the connection. Times are monotonic seconds."""

    disconnected: bool
    answer_by: float
    arrived_at: float

    @property
    def address(self) -> str | None:
        """The caller's IP address, or None where it cannot be known."""
        ...

    def header(self, name: bytes) -> str | None:
        """Return a header's value, a repeated one joined with commas. `name` is lower-case."""
        ...

    def query(self, name: str) -> list[str]:
        """Return the values of a query parameter; raise InvalidRequest for a query that cannot be read."""
        ...

    def check_parameters(self, *known: str) -> None:
        """Raise InvalidRequest for a query parameter that is not known."""
        ...

    async def body(self, limit: int) -> bytes:
        """Read the body, at most `limit` bytes."""
        ...

    async def json(self, limit: int) -> JsonObject:
        """Read the body, at most `limit` bytes, as a strict JSON object."""
        ...

    async def wait(self, bell: Bell, seconds: float) -> None:
        """Wait for `bell`, at most `seconds`; raise Disconnected when the caller hangs up meanwhile."""
        ...

    def watch_connection(self) -> AbstractContextManager[object]:
        """Set `disconnected`, in the background, when the caller hangs up. After the body has been read."""
        ...


class Backend(Protocol):
    """Runs what handlers ask for. `by` is the monotonic time until which to answer; later raises Unavailable."""

    @property
    def waiters(self) -> Waiters:
        """The registry of held calls."""
        ...

    async def identify(self, token: str, *, address: str | None, by: float) -> Principal:
        """Return who calls with a well-formed token, and count the call. Raises Unauthorized, LimitExceeded."""
        ...

    async def identify_again(self, principal: Principal, *, by: float) -> Principal:
        """Return a caller who has waited as they are now. Raises Unauthorized."""
        ...

    async def hear(self, touch: AgentTouch, *, by: float) -> None:
        """Record that an agent called."""
        ...

    async def write(self, kind: WriteKind[Request, Outcome], request: Request, *, by: float) -> Outcome:
        """Return what the kind's service returned for the request, after COMMIT, or raise the AppError."""
        ...

    def put_back(self, returned: PutBack) -> None:
        """Let a job wait again whose answer did not leave."""
        ...

    async def read(self, question: Callable[[], Outcome], *, by: float) -> Outcome:
        """Return what `question` reads from the database."""
        ...

    async def may_have_work(self, principal: Principal) -> bool:
        """Tell, cheaply, whether a claim of this agent could find a job. True where that is not known."""
        ...

    def flag_work(self, agent_id: str) -> None:
        """Flag that the agent may have work, before the answer with the work leaves."""
        ...
