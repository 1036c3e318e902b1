"""The folders of jobs on disk: what was taken, how it ended, what was reported.

`STATE/jobs/<id>/` holds `job.json` (before anything starts), `out.log` and `exit.json` (from the shim), `report.json`
(before the first try to deliver it) and `delivered.json` (the server took it). A folder that exists is never run
again. The state folder belongs to one agent at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import threading
import time
from typing import Any, Iterator

from skadi.shim import write_whole

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
KEEP_DELIVERED = 50


class StateError(Exception):
    """A state folder that cannot be used; the text says why."""


def default_state_dir(environment: dict[str, str]) -> str:
    """Where state is kept when nobody says: /var/lib for root, the XDG place for others."""
    if os.geteuid() == 0:
        return "/var/lib/skadi"
    home = environment.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "skadi")


class Journal:
    """The job folders of one state folder. Raises StateError when the folder cannot be used or is in use."""

    def __init__(self, state_dir: str) -> None:
        self.state_dir = os.path.abspath(state_dir)
        self.jobs_dir = os.path.join(self.state_dir, "jobs")
        self.prune_lock = threading.Lock()
        try:
            os.makedirs(self.state_dir, mode=0o700, exist_ok=True)
            os.makedirs(self.jobs_dir, mode=0o700, exist_ok=True)
            if os.stat(self.state_dir).st_uid == os.geteuid():
                os.chmod(self.state_dir, 0o700)
            self._lock = os.open(os.path.join(self.state_dir, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateError(f"the state folder {self.state_dir} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateError(f"another agent uses the state folder {self.state_dir}") from error

    def folder(self, job_id: str) -> str:
        """The folder of a job. Raises ValueError for an id that is no safe name."""
        if not JOB_ID.match(job_id):
            raise ValueError("an unsafe job id")
        return os.path.join(self.jobs_dir, job_id)

    def claim(self, job_id: str) -> bool:
        """Make the folder of a new job; False when it was there, so that no id runs twice. Raises OSError."""
        try:
            os.mkdir(self.folder(job_id), 0o700)
        except FileExistsError:
            return False
        return True

    def write(self, job_id: str, name: str, content: dict[str, Any]) -> None:
        """Store one of the files, synced. Raises OSError."""
        write_whole(self.folder(job_id), name, json.dumps(content, ensure_ascii=False))

    def read(self, job_id: str, name: str) -> dict[str, Any] | None:
        """One of the files; None when it is absent or damaged."""
        try:
            with open(os.path.join(self.folder(job_id), name), encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def job_ids(self) -> Iterator[str]:
        """Ids of all folders, oldest first."""
        entries = [
            entry
            for entry in os.scandir(self.jobs_dir)
            if JOB_ID.match(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
        return (
            entry.name for entry in sorted(entries, key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns)
        )

    def is_running(self, job_id: str) -> bool:
        """Whether a shim holds the folder."""
        try:
            descriptor = os.open(os.path.join(self.folder(job_id), "lock"), os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def delivered(self, job_id: str, status: int) -> None:
        """Note that the server took the report, and remove the oldest folders it has taken."""
        self.write(job_id, "delivered.json", {"status": status, "at": time.time()})
        with self.prune_lock:
            done = [
                name for name in self.job_ids() if os.path.exists(os.path.join(self.jobs_dir, name, "delivered.json"))
            ]
            for name in done[:-KEEP_DELIVERED]:
                shutil.rmtree(os.path.join(self.jobs_dir, name), ignore_errors=True)

    def token_worked(self, token: str) -> bool:
        """Whether the server accepted this token before."""
        try:
            with open(os.path.join(self.state_dir, "token.sha256"), encoding="ascii") as file:
                return file.read().strip() == _digest(token)
        except (OSError, ValueError):
            return False

    def remember_token(self, token: str) -> None:
        """Note that the server accepts this token; only its hash is kept. Raises OSError."""
        if not self.token_worked(token):
            write_whole(self.state_dir, "token.sha256", _digest(token) + "\n")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()
