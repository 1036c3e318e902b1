"""Reads for the gateway: a few threads, each with a connection that it keeps.

An error of a question is its asker's alone; a thread of the pool outlives it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import Error as DatabaseFault
from django.db import connection

from kernel.connections import give_up_within
from kernel.errors import Unavailable
from kernel.failpoints import reach

Result = TypeVar("Result")

_THREADS = 4
_WAITING_LIMIT = 512
_ANSWER_WITHIN_SECONDS = 2


class Reader:
    """Runs questions to the database off the loop."""

    def __init__(self, threads: int = _THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, "reader")
        self._waiting = 0

    async def ask(self, question: Callable[[], Result], *, by: float | None = None) -> Result:
        """Run `question` in a thread and return its answer until the monotonic time `by`, or within two seconds.

        Raises Unavailable when the database does not answer, when the time is over, or when too many wait already.
        """
        if self._waiting >= _WAITING_LIMIT:
            raise Unavailable
        seconds = _ANSWER_WITHIN_SECONDS if by is None else by - time.monotonic()
        answer = asyncio.get_running_loop().run_in_executor(self._threads, _ask_twice, question)
        self._waiting += 1
        answer.add_done_callback(self._answered)
        await asyncio.wait((answer,), timeout=max(0.0, seconds))
        if not answer.done():
            answer.cancel()
            raise Unavailable
        return answer.result()

    def stop(self) -> None:
        """End the threads when they are done."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answered(self, answer: asyncio.Future[Result]) -> None:
        self._waiting -= 1
        if not answer.cancelled():
            answer.exception()  # marks it as seen: the asker may have given up


def _ask_twice(question: Callable[[], Result]) -> Result:
    """Ask again on a new connection where the kept one turns out to be dead."""
    give_up_within(_ANSWER_WITHIN_SECONDS)
    reach("reader.before_question")
    try:
        return question()
    except DatabaseFault:
        connection.close()
    try:
        return question()
    except DatabaseFault as error:
        connection.close()
        raise Unavailable from error
