"""The hot calls as Django answers them, with LETSERVER_GATEWAY=off: the gateway's handlers over a backend that blocks.

The operations also draw the OpenAPI entries of these calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.credentials import Principal, identify_again
from accounts.limits import identify_within_limits
from agents.services.presence import AgentTouch, touch_agents
from jobs.gateway.batch import WriteKind
from jobs.gateway.interface import Answer
from jobs.gateway.waiters import Bell
from jobs.life.claim import PutBack, may_have_work, put_back_jobs
from kernel.coroutines import run_without_loop
from kernel.errors import TooLarge
from kernel.http.bodies import check_parameters
from kernel.http.rest import Operation, request_address
from kernel.strictjson import JsonObject, parse_object
from kernel.transactions import run_one

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_LOOK_EVERY_SECONDS = 0.2
_NEVER = float("inf")


class HotOperation(Operation):
    """An operation whose handler the gateway mounts too. `authentication_classes` are for the schema alone."""

    def perform_authentication(self, request: Request) -> None:
        """Leave it to the gateway's handler to find out who calls."""
        if not self.takes(request).gateway:
            super().perform_authentication(request)

    def run(self, request: Request, handler: Callable[..., Coroutine[Any, Any, Answer]], **path: str) -> Response:
        """Return the answer of a handler; `path` holds the places of the URL."""
        answer = run_without_loop(handler(DirectCall(request), **path))
        return Response(answer.body, status=answer.status, headers=answer.headers)


class DirectCall:
    """A request of Django's; see `jobs.gateway.interface.Call`. It cannot tell whether its caller has hung up."""

    disconnected = False
    answer_by = _NEVER

    def __init__(self, request: Request) -> None:
        self._request = request
        self.arrived_at = time.monotonic()

    @property
    def address(self) -> str | None:
        """The caller's IP address, or None where it cannot be known."""
        return request_address(self._request)

    def header(self, name: bytes) -> str | None:
        """Return a header's value."""
        value: str | None = self._request.headers.get(name.decode())
        return value

    def query(self, name: str) -> list[str]:
        """Return the values of a query parameter."""
        return list(self._request.query_params.getlist(name))

    def check_parameters(self, *known: str) -> None:
        """Refuse a query parameter that is not known."""
        check_parameters(self._request.query_params, known)

    async def body(self, limit: int) -> bytes:
        """Read the body, at most `limit` bytes."""
        body: bytes = self._request.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(params={"limit": limit})
        return body

    async def json(self, limit: int) -> JsonObject:
        """Read the body, at most `limit` bytes, as a strict JSON object."""
        return parse_object(await self.body(limit))

    async def wait(self, bell: Bell, seconds: float) -> None:
        """Block for a moment: no bell reaches Django's threads."""
        time.sleep(min(seconds, _LOOK_EVERY_SECONDS))

    @contextmanager
    def watch_connection(self) -> Iterator[None]:
        """Watch nothing."""
        yield


class NoBells:
    """See `jobs.gateway.waiters.Waiters`."""

    released = False

    @contextmanager
    def waiting_for(self, topic: str) -> Iterator[None]:
        """Give no bell."""
        yield None

    def look_again_after(self) -> float:
        """Return after how many seconds a held call looks again."""
        return _LOOK_EVERY_SECONDS


class DirectBackend:
    """Calls the services at once; see `jobs.gateway.interface.Backend`. One for each request."""

    waiters = NoBells()

    def __init__(self) -> None:
        self._was_heard = False
        self._has_looked = False

    async def identify(self, token: str, *, address: str | None, by: float) -> Principal:
        """Return who calls, and count the call."""
        return identify_within_limits(token, address=address)

    async def identify_again(self, principal: Principal, *, by: float) -> Principal:
        """Return a caller who has waited as they are now."""
        return identify_again(principal)

    async def hear(self, touch: AgentTouch, *, by: float) -> None:
        """Record that an agent called, once for each request."""
        if not self._was_heard:
            touch_agents([touch])
            self._was_heard = True

    async def write(self, kind: WriteKind[Item, Outcome], request: Item, *, by: float) -> Outcome:
        """Run the service on one request."""
        return run_one(kind.service, request)

    def put_back(self, returned: PutBack) -> None:
        """Let the job wait again."""
        run_one(put_back_jobs, returned)

    async def read(self, question: Callable[[], Outcome], *, by: float) -> Outcome:
        """Ask the database."""
        return question()

    async def may_have_work(self, principal: Principal) -> bool:
        """Claim at the first look; look without a lock before each further claim."""
        is_first, self._has_looked = not self._has_looked, True
        return is_first or may_have_work(principal.agent_id, in_queues=principal.in_queues)

    def flag_work(self, agent_id: str) -> None:
        """Leave the flag to the bell."""
