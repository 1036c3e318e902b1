"""The folders of jobs on disk: what was taken, how far it came, how it ended, what was reported.

`STATE/jobs/<id>/` holds `job.json` (before the server is told that we have the job), `started` (made by the shim before
it starts anything), `cancel` (the owner wants it ended), `out.log` and `exit.json` (from the shim), `report.json`
(before the first try to deliver it) and `delivered.json` (the server took it). Everything is synced before the next
step, so that after a crash the folder says how far the job can have come; see `stage`. The ids of the jobs that are
over stand in `done.log`. The state folder belongs to one agent at a time.
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
from enum import Enum
from typing import Any, Iterator

from skadi.done import DoneLog
from skadi.failpoints import reach
from skadi.shim import sync_folder, write_atomically

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
KEEP_DELIVERED = 50
UNSTARTED_STATES = ("received", "acked", "started")  # of `job.json`; whether it did start, the file `started` says


class Stage(Enum):
    """How far a job came, as its folder says."""

    ABSENT = "no folder"
    UNSTARTED = "written down; nothing of it can have run"
    RUNNING = "a shim is at work"
    ENDED = "it ran to its end or was cut off; no report is stored"
    REPORTED = "its report is stored"
    DELIVERED = "its report was taken"


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
            self.done = DoneLog(self.state_dir)
        except OSError as error:
            raise StateError(f"the state folder {self.state_dir} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateError(f"another agent uses the state folder {self.state_dir}") from error
        self._remove_incomplete()

    def folder(self, job_id: str) -> str:
        """The folder of a job. Raises ValueError for an id that is no safe name."""
        if not JOB_ID.match(job_id):
            raise ValueError("an unsafe job id")
        return os.path.join(self.jobs_dir, job_id)

    def _remove_incomplete(self) -> None:
        """Folders that a crash left before they got their name: the server was told nothing about them."""
        for entry in os.scandir(self.jobs_dir):
            if entry.name.startswith("."):
                shutil.rmtree(entry.path, ignore_errors=True)

    def receive(self, job_id: str, content: dict[str, Any]) -> None:
        """Make the folder of a new job with its `job.json`, synced; it is there as a whole or not at all.

        Raises OSError, also FileExistsError when there is such a folder; ValueError for text that UTF-8 cannot hold.
        """
        final, new = self.folder(job_id), os.path.join(self.jobs_dir, "." + job_id)
        if os.path.lexists(final):
            raise FileExistsError(final)
        try:
            reach("job.before_write")
            os.mkdir(new, 0o700)
            write_atomically(new, "job.json", json.dumps(dict(content, state="received"), ensure_ascii=False))
            os.rename(new, final)
            sync_folder(self.jobs_dir)
            reach("job.after_write")
        except (OSError, ValueError):
            shutil.rmtree(new, ignore_errors=True)
            raise

    def set_state(self, job_id: str, state: str, **values: Any) -> None:
        """Note in `job.json` how far an unstarted job is, synced. Raises OSError."""
        reach("move.before_write")
        self.write(job_id, "job.json", {**(self.read(job_id, "job.json") or {}), **values, "state": state})
        reach("move.after_write")

    def stage(self, job_id: str) -> Stage:
        """How far a job came. A shim that has not made its file yet will find it made, or the folder gone."""
        if not os.path.isdir(self.folder(job_id)):
            return Stage.ABSENT
        if self.has_file(job_id, "delivered.json"):
            return Stage.DELIVERED
        if self.read(job_id, "report.json") is not None:
            return Stage.REPORTED
        if self.is_running(job_id):
            return Stage.RUNNING
        if self.has_file(job_id, "started") or self.has_file(job_id, "exit.json"):
            return Stage.ENDED
        job = self.read(job_id, "job.json")
        return Stage.UNSTARTED if job is not None and job.get("state") in UNSTARTED_STATES else Stage.ENDED

    def block_start(self, job_id: str) -> bool:
        """Keep a shim that is on its way from starting anything; False when it did start. Raises OSError."""
        path = os.path.join(self.folder(job_id), "started")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def discard(self, job_id: str) -> None:
        """Remove a job of which nothing ran, so that the same id is new when it is offered again. Raises OSError."""
        new = os.path.join(self.jobs_dir, "." + job_id)
        shutil.rmtree(new, ignore_errors=True)
        reach("forget.before_rename")
        os.rename(self.folder(job_id), new)  # at once: a folder that is half removed would look like a lost run
        sync_folder(self.jobs_dir)
        reach("forget.after_rename")
        shutil.rmtree(new, ignore_errors=True)

    def has_file(self, job_id: str, name: str) -> bool:
        """Whether one of the files is there."""
        return os.path.exists(os.path.join(self.folder(job_id), name))

    def write(self, job_id: str, name: str, content: dict[str, Any]) -> None:
        """Store one of the files, synced. Raises OSError."""
        write_atomically(self.folder(job_id), name, json.dumps(content, ensure_ascii=False))

    def read(self, job_id: str, name: str) -> dict[str, Any] | None:
        """One of the files; None when it is absent or damaged."""
        try:
            with open(os.path.join(self.folder(job_id), name), encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError, RecursionError):
            return None
        return content if isinstance(content, dict) else None

    def job_ids(self) -> Iterator[str]:
        """Ids of all folders, oldest first."""
        found = []
        for entry in os.scandir(self.jobs_dir):
            try:
                if JOB_ID.match(entry.name) and entry.is_dir(follow_symlinks=False):
                    found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
            except FileNotFoundError:
                continue  # another thread removed it while we looked
        return (name for _, name in sorted(found))

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

    def mark_delivered(self, job_id: str, status: int) -> None:
        """Note that the server took the report, and remove the oldest folders it has taken. Raises OSError."""
        self.done.add(job_id)
        if not os.path.isdir(self.folder(job_id)):
            return  # it could not be stored, or its folder had to go
        reach("delivered.before_write")
        self.write(job_id, "delivered.json", {"status": status, "at": time.time()})
        reach("delivered.after_write")
        with self.prune_lock:
            over = [name for name in self.job_ids() if self.has_file(name, "delivered.json") and name in self.done]
            for name in over[:-KEEP_DELIVERED]:
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
            write_atomically(self.state_dir, "token.sha256", _digest(token) + "\n")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()
