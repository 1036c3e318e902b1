"""The guard of every thread and background task that runs for the life of its process.

An error in one turn is logged and the loop goes on. A thread that would end for another reason (SystemExit in a
library, say) ends its process: the supervisor starts a new one, and nothing hangs on a thread that is not there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.1
"""After an error. Long enough not to fill the log, short enough for a caller who waits."""

# sysexits.h: a temporary failure, starting again helps.
EXIT_CODE = os.EX_TEMPFAIL


def start_thread(name: str, turn: Callable[[], bool], *, prepare: Callable[[], None] | None = None) -> threading.Thread:
    """Start a daemon thread that calls `turn` until it returns False. `prepare` runs in it before the first turn.

    A turn that fails must leave everything in a state from which the next can go on.
    """
    thread = threading.Thread(target=_run, args=(name, turn, prepare), name=name, daemon=True)
    thread.start()
    return thread


def _run(name: str, turn: Callable[[], bool], prepare: Callable[[], None] | None) -> None:
    while True:
        try:
            if prepare is not None:
                prepare()
                prepare = None
            if not turn():
                return
        except Exception:
            logger.exception("turn of a loop failed", extra={"action": "loop.failed", "loop": name})
            time.sleep(PAUSE_SECONDS)
        except BaseException:
            logger.critical("loop ended", exc_info=True, extra={"action": "loop.ended", "loop": name})
            end_process()


async def keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a background task until it is cancelled; after an error, or if it returns, run it again."""
    while True:
        try:
            await run()
        except Exception:
            logger.exception("background task failed", extra={"action": "loop.failed", "loop": name})
        await asyncio.sleep(PAUSE_SECONDS)


def end_process() -> NoReturn:
    """End this process at once, without the cleanups that a stuck thread could block."""
    logging.shutdown()
    os._exit(EXIT_CODE)
