"""Calls that are held: the bells that wake them, and the one loop that holds them."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from random import uniform
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from django.utils.translation import gettext_lazy as _

from kernel import bells
from kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from jobs.gateway.interface import Call

Found = TypeVar("Found")

Bell: TypeAlias = "asyncio.Future[None] | None"
"""A future that is done once the bell rang. None where bells are not delivered: the held call polls."""

WAIT_LIMIT_SECONDS = 55
TOPICS = ("agent", "job", "beat", "queue")
"""The bells that wake held calls; a topic is the bell's name and an id, such as `agent <id>`."""

# A bell can be lost on its way, so a held call looks for itself now and then: not all of them at once, and more often
# without Redis, where no other process can wake it.
_LOOK_SECONDS = (8.0, 12.0)
_LOOK_WITHOUT_REDIS_SECONDS = (1.0, 2.0)


class Waiters(Protocol):
    """The registry of held calls. `released`: no call is held from now on."""

    released: bool

    def waiting_for(self, topic: str) -> AbstractContextManager[Bell]:
        """Give a bell that the next change of `topic` rings. Register, then look: a change in between rings it."""
        ...

    def look_again_after(self) -> float:
        """Return after how many seconds a held call looks for itself."""
        ...


async def hold(
    call: Call,
    waiters: Waiters,
    topic: str,
    look: Callable[[bool], Awaitable[Found]],
    *,
    seconds: int,
    until: Callable[[Found], bool],
    check_caller: Callable[[], Awaitable[object]],
) -> Found:
    """Call `look` until `until` accepts what it finds, `seconds` after the call arrived, or the server stops.

    Returns what was found last. The argument of `look` tells whether a bell rang. `check_caller` runs before each
    further look and raises when the caller may not have the answer any more. Raises Disconnected when the caller hangs
    up.
    """
    if not seconds:
        return await look(False)
    rang = False
    while True:
        with waiters.waiting_for(topic) as bell:
            found = await look(rang)
            left = call.arrived_at + seconds - time.monotonic()
            if until(found) or left <= 0 or waiters.released:
                return found
            await call.wait(bell, min(left, waiters.look_again_after()))
            rang = bell is not None and bell.done()
        await check_caller()


def read_wait(values: Sequence[str]) -> int:
    """Read `?wait=`, in seconds: 0 without it; over the limit counts as the limit."""
    if not values:
        return 0
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,9}", values[0]):
        raise InvalidRequest(_("wait is a whole number of seconds."))
    return min(int(values[0]), WAIT_LIMIT_SECONDS)


class BellWaiters:
    """The held calls of this process, as futures by topic. All methods are called on the loop."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._is_connected = False
        self.released = False

    def listen(self) -> None:
        """Take the bells of this process, so that they wake its held calls even while Redis is away."""
        loop = asyncio.get_running_loop()
        for name in TOPICS:
            bells.register(name, partial(self._wake_from_thread, loop, name), first=True)

    def _wake_from_thread(self, loop: asyncio.AbstractEventLoop, name: str, ids: Sequence[str]) -> None:
        if not loop.is_closed():
            for subject_id in ids:
                loop.call_soon_threadsafe(self.wake, f"{name} {subject_id}")

    @contextmanager
    def waiting_for(self, topic: str) -> Iterator[asyncio.Future[None]]:
        """Give a future that the next bell for `topic` resolves."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[topic].add(future)
        if self.released:
            future.set_result(None)
        try:
            yield future
        finally:
            members = self._waiting[topic]
            members.discard(future)
            if not members:
                del self._waiting[topic]

    def look_again_after(self) -> float:
        """Return after how many seconds a held call looks for itself."""
        return uniform(*(_LOOK_SECONDS if self._is_connected else _LOOK_WITHOUT_REDIS_SECONDS))  # noqa: S311

    def wake(self, topic: str) -> None:
        """Wake the calls held for one topic."""
        for future in self._waiting.get(topic, ()):
            if not future.done():
                future.set_result(None)

    def note_connection(self, is_connected: bool) -> None:
        """Record whether bells of other processes arrive; after a gap every held call looks for itself."""
        self._is_connected = is_connected
        if is_connected:
            self._wake_all()

    def _wake_all(self) -> None:
        for topic in list(self._waiting):
            self.wake(topic)

    def release(self) -> None:
        """Wake every held call and hold none from now on: the server stops."""
        self.released = True
        self._wake_all()
