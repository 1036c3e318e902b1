"""The ids of the jobs that are over, kept for 45 days: an id that stands here is never run again.

`STATE/done.log` has one line `SECONDS ID` for each, appended and synced before the folder of the job may go. A line
that a crash or a full disk cut short is ignored, and the file written anew before the next.
"""

from __future__ import annotations

import os
import threading
import time

from skadi.failpoints import reach
from skadi.shim import write_atomically

KEEP_SECONDS = 45 * 86400.0
COMPACT_SECONDS = 86400.0  # how much older than KEEP_SECONDS the first line may get
NAME = "done.log"


class DoneLog:
    """The ids in one state folder. Methods may be called from any thread."""

    def __init__(self, state_dir: str) -> None:
        """Read the file. Raises OSError when it is there and cannot be read."""
        self.state_dir = state_dir
        self.path = os.path.join(state_dir, NAME)
        self.lock = threading.Lock()
        self.ids: dict[str, float] = {}
        self.cut = False
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    self._read(line)
        except FileNotFoundError:
            return

    def _read(self, line: str) -> None:
        self.cut = not line.endswith("\n")
        seconds, _, job_id = line.rstrip("\n").partition(" ")
        if seconds.isdigit() and job_id and not self.cut:
            self.ids[job_id] = float(seconds)

    def __contains__(self, job_id: str) -> bool:
        with self.lock:
            return job_id in self.ids

    def add(self, job_id: str) -> None:
        """Note an id, synced. Raises OSError; the id is then not in here."""
        with self.lock:
            if job_id in self.ids:
                return
            now = time.time()
            if self.cut or (self.ids and min(self.ids.values()) < now - KEEP_SECONDS - COMPACT_SECONDS):
                self._compact(now)
            reach("done.before_write")
            self.cut = True  # until it is known to be whole
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{int(now)} {job_id}\n")
                file.flush()
                os.fsync(file.fileno())
            self.cut = False
            self.ids[job_id] = now
            reach("done.after_write")

    def _compact(self, now: float) -> None:
        kept = {job_id: at for job_id, at in self.ids.items() if at >= now - KEEP_SECONDS}
        write_atomically(self.state_dir, NAME, "".join(f"{int(at)} {job_id}\n" for job_id, at in kept.items()))
        self.ids = kept
        self.cut = False
