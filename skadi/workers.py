"""The threads of the agent, and the watch over them."""

from __future__ import annotations

import threading
import time
from typing import Callable, Mapping

from skadi.log import log

DEATHS_WINDOW = 60.0


class Workers:
    """Run each loop in a thread of its own. Only the main thread calls the methods."""

    def __init__(self, loops: Mapping[str, Callable[[], None]]) -> None:
        """A loop that returns has done its work. A loop that raises has died, and `watch` starts it again."""
        self.loops = loops
        self.threads: dict[str, threading.Thread] = {}
        self.finished: set[str] = set()
        self.deaths: list[float] = []

    def start(self) -> None:
        """Start all threads."""
        for name in self.loops:
            self._start_thread(name)

    def join(self, name: str, seconds: float) -> None:
        """Wait for the end of a thread, at most that long."""
        self.threads[name].join(seconds)

    def watch(self) -> bool:
        """Start every dead thread again. False if two died within a minute: then a restart does not help."""
        now = time.monotonic()
        self.deaths = [died_at for died_at in self.deaths if now - died_at < DEATHS_WINDOW]
        for name, thread in list(self.threads.items()):
            if not thread.is_alive() and name not in self.finished:
                log.error("thread %s has died, starting it again", name)
                self.deaths.append(now)
                self._start_thread(name)
        return len(self.deaths) < 2

    def _start_thread(self, name: str) -> None:
        thread = threading.Thread(target=self._work, args=(name,), name=name, daemon=True)
        self.threads[name] = thread
        thread.start()

    def _work(self, name: str) -> None:
        try:
            self.loops[name]()
        except Exception:
            log.exception("thread %s failed", name)
        else:
            self.finished.add(name)
