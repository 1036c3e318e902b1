"""Reads for the gateway: a few threads, each with a connection that it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DatabaseError, connection

from kernel.errors import Unavailable

Result = TypeVar("Result")

_THREADS = 4


class Reader:
    """Runs questions to the database off the loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="reader")

    async def ask(self, question: Callable[[], Result]) -> Result:
        """Run `question` in a thread and return its answer; a database that does not answer raises Unavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _twice, question)

    def stop(self) -> None:
        """End the threads when they are done."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _twice(question: Callable[[], Result]) -> Result:
    """Ask again on a new connection when the kept one turns out to be dead."""
    try:
        return question()
    except DatabaseError:
        connection.close()
    try:
        return question()
    except DatabaseError as error:
        connection.close()
        raise Unavailable from error
