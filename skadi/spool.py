"""The disk space that the agent may use: it takes no job if little is free, and what it keeps has a limit."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import Mapping

from skadi.journal import Journal
from skadi.log import log

FREE_FLOOR_MB = 50.0
CAP_BYTES = 200 * 1024 * 1024
KEEP_SECONDS = 7 * 86400.0
PROBE = "probe"


def free_floor_mb(environment: Mapping[str, str]) -> float:
    """Return the megabytes that must be free to take a job. SKADI_MIN_FREE_MB overrides the default."""
    text = environment.get("SKADI_MIN_FREE_MB", "")
    return float(text) if text.isascii() and text.isdigit() else FREE_FLOOR_MB


def write_problem(folder: str, floor_mb: float) -> str:
    """Return why nothing can be written to a folder, in words that follow its name; "" if it can."""
    path = os.path.join(folder, PROBE)
    try:
        room = os.statvfs(folder)
        if room.f_bavail * room.f_frsize / 1024 / 1024 < floor_mb:
            return f"has less than {floor_mb:g} MB free"
        with open(path, "wb") as file:
            file.write(b"x")
        with contextlib.suppress(FileNotFoundError):  # `skadi doctor` may do the same at the same time
            os.unlink(path)
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    return ""


class Spool:
    """The disk space of a journal. Only the poller calls `check_room`; any thread may call `trim`."""

    def __init__(self, journal: Journal, floor_mb: float) -> None:
        self.journal = journal
        self.floor_mb = floor_mb
        self.problem = ""
        self.dropped = 0

    def check_room(self) -> bool:
        """Return whether a job could be stored now. Log each change of that, not each check."""
        problem = write_problem(self.journal.state_dir, self.floor_mb)
        if problem and not self.problem:
            log.error(
                "no jobs are taken: the state folder %s. Make room, or name another folder with `state_dir:`",
                problem,
                extra={"folder": self.journal.state_dir},
            )
        if self.problem and not problem:
            log.info("the state folder can be written again, jobs are taken")
        self.problem = problem
        return not problem

    def trim(self) -> None:
        """Keep the folders of finished jobs within the limit: drop delivered jobs, then output, then reports, oldest
        first.

        The folders of unfinished jobs are not touched.
        """
        delivered, waiting = [], []
        total = 0
        for job_id in self.journal.job_ids():
            size = self._size(job_id)
            total += size
            if self.journal.has_file(job_id, "delivered.json"):
                delivered.append((job_id, size))
            elif self.journal.has_file(job_id, "report.json"):
                waiting.append(job_id)
        for job_id, size in delivered:
            if (total > CAP_BYTES or self._is_old(job_id)) and job_id in self.journal.done:
                shutil.rmtree(self.journal.folder(job_id), ignore_errors=True)
                total -= size
        for name in ("out.log", "report.json"):
            for job_id in waiting:
                if total <= CAP_BYTES:
                    return
                total -= self._drop(job_id, name)

    def _is_old(self, job_id: str) -> bool:
        try:
            changed = os.stat(os.path.join(self.journal.folder(job_id), "delivered.json")).st_mtime
        except OSError:
            return False
        return time.time() - changed > KEEP_SECONDS

    def _size(self, job_id: str) -> int:
        try:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(self.journal.folder(job_id)))
        except OSError:
            return 0  # it was removed in between

    def _drop(self, job_id: str, name: str) -> int:
        """Remove a file of a job. Return how many bytes that has freed."""
        path = os.path.join(self.journal.folder(job_id), name)
        try:
            size = os.stat(path).st_size
            os.unlink(path)  # for a report, `exit.json` still shows how the command ended
        except OSError:
            return 0
        self.dropped += 1
        log.warning(
            "dropped a file, because the kept jobs exceed their limit",
            extra={"job": job_id, "file": name, "dropped": self.dropped},
        )
        return size
