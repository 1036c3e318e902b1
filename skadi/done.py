"""The ids of finished jobs, kept for 45 days. A job whose id is in the file never runs again.

`STATE/done.log` has a line `SECONDS ID` for each. It is appended and synced before the folder of the job may be
removed. A line that a crash or a full disk cut short is ignored, and the file is rewritten before the next line.
"""

from __future__ import annotations

import os
import threading
import time

from skadi.failpoints import reach
from skadi.shim import write_atomically

KEEP_SECONDS = 45 * 86400.0
COMPACT_SECONDS = 86400.0  # the oldest line may be this much older than KEEP_SECONDS before the file is rewritten
NAME = "done.log"


class DoneLog:
    """The finished ids of one state folder. Any thread may call the methods."""

    def __init__(self, state_dir: str) -> None:
        """Read the file. Raises OSError if it exists and cannot be read."""
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
        """Append an id and sync. Raises OSError; the id is then not in the set."""
        with self.lock:
            if job_id in self.ids:
                return
            now = time.time()
            if self.cut or (self.ids and min(self.ids.values()) < now - KEEP_SECONDS - COMPACT_SECONDS):
                self._compact(now)
            reach("done.before_write")
            self.cut = True  # until the write has succeeded, the last line may be cut
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
