"""Who waits for what in this process: polls for their agent's next job, readers for a job's change."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Waiters:
    """Futures by subject (`agent <id>`, `job <id>`). All calls are made on the loop."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self.released = False

    @contextmanager
    def waiting_for(self, subject: str) -> Iterator[asyncio.Future[None]]:
        """Give a future that the next bell for `subject` ends. Register, then look: a bell between counts."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[subject].add(future)
        if self.released:
            future.set_result(None)
        try:
            yield future
        finally:
            members = self._waiting[subject]
            members.discard(future)
            if not members:
                del self._waiting[subject]

    def wake(self, subject: str) -> None:
        """End the futures of one subject."""
        for future in self._waiting.get(subject, ()):
            if not future.done():
                future.set_result(None)

    def wake_all(self) -> None:
        """End every future: something was missed, everybody looks for themselves."""
        for subject in list(self._waiting):
            self.wake(subject)

    def release(self) -> None:
        """End every future, now and from now on: the server stops."""
        self.released = True
        self.wake_all()
