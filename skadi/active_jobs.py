"""The jobs that the executor has and has not finished, the command that runs, and how other threads end it."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import Iterable

from skadi import runner
from skadi.failpoints import reach
from skadi.journal import Journal
from skadi.log import log


class ActiveJobs:
    """The ids of the unfinished jobs, and their cancels. Any thread may call the methods."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._lock = threading.Lock()
        self._unfinished: list[str] = []
        self._canceled: set[str] = set()
        self._ending_all = False
        self._running = ""  # the id of the job whose command runs
        self._process: subprocess.Popen[bytes] | None = None  # its shim; None if the last agent started that

    def add(self, job_ids: Iterable[str]) -> None:
        """Count jobs as unfinished. Call it before the executor can see them."""
        with self._lock:
            self._unfinished += job_ids

    def remove(self, job_ids: Iterable[str]) -> None:
        """Forget jobs whose work is done."""
        with self._lock:
            for job_id in job_ids:
                self._unfinished.remove(job_id)
                self._canceled.discard(job_id)

    def is_empty(self) -> bool:
        """Whether no job is unfinished."""
        with self._lock:
            return not self._unfinished

    def holds(self, job_id: str) -> bool:
        """Whether a job is unfinished."""
        with self._lock:
            return job_id in self._unfinished

    def is_canceled(self, job_id: str) -> bool:
        """Whether the owner has canceled an unfinished job, as far as this process knows."""
        with self._lock:
            return job_id in self._canceled

    def start_shim(self, job_id: str) -> subprocess.Popen[bytes] | None:
        """Start the command of a job; None if it must not start any more. Raises OSError.

        The lock is held meanwhile: a cancel comes either before, and nothing starts, or after, and finds the process.
        """
        with self._lock:
            if self._ending_all or job_id in self._canceled:
                return None
            self._process = runner.start_shim(self.journal.folder(job_id))
            self._running = job_id
            return self._process

    def adopt_shim(self, job_id: str) -> None:
        """Note that a shim of the last agent runs the command of a job."""
        with self._lock:
            self._process = None
            self._running = job_id

    def shim_ended(self) -> None:
        """Note that no command runs."""
        with self._lock:
            self._process = None
            self._running = ""

    def cancel(self, job_id: str) -> None:
        """End the command of one job because its owner wants that; if it has not started, it does not start.

        A second call for the same job, or one for a job that is not here, does nothing.
        """
        with self._lock:
            if job_id not in self._unfinished or job_id in self._canceled:
                return
            self._canceled.add(job_id)
            process, running = self._process, self._running
        log.info("job is canceled by its owner", extra={"job": job_id})
        try:
            reach("cancel.before_write")
            self.journal.write(job_id, "cancel", {"at": time.time()})  # the shim looks for it when it gets the signal
            reach("cancel.after_write")
        except OSError as error:
            log.warning("cancel cannot be noted", extra={"job": job_id, "error": str(error)})
        if running == job_id:
            self._signal(process, running)

    def end_all(self) -> None:
        """End the running command because the agent stops, and let no other start."""
        with self._lock:
            self._ending_all = True
            process, running = self._process, self._running
        self._signal(process, running)

    def _signal(self, process: subprocess.Popen[bytes] | None, running: str) -> None:
        if process is not None:
            process.terminate()
        elif running:
            runner.stop_adopted(self.journal, running)
