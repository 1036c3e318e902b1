"""Run a coroutine function from code without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_without_loop(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine that never waits for an event loop: everything it awaits returns at once, or blocks the thread.

    So one implementation serves the gateway, where it is awaited, and Django's threads, where the ORM refuses to run
    under an event loop. Raises RuntimeError for a coroutine that does wait for one.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    coroutine.close()
    raise RuntimeError("the coroutine waits for an event loop, and there is none")
