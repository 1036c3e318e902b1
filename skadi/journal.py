"""The folders of jobs on disk: each file is one step of a job, synced before the next step begins.

`STATE/jobs/<id>/` holds, in this order:

1. `job.json`, written before the server gets the acknowledgement;
2. `started`, written by the shim before it starts the command;
3. `cancel`, if the owner has canceled the job;
4. `out.log` and `exit.json`, from the shim;
5. `report.json`, written before the first attempt to deliver it;
6. `delivered.json`, when the server has taken the report.

After a crash the folder shows how far the job can be; see `stage`. `done.log` has the ids of finished jobs. One agent
at a time uses a state folder.
"""

from __future__ import annotations

import contextlib
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
from skadi.safe_text import storable
from skadi.shim import sync_folder, write_atomically
from skadi.trust import OPEN_FOLDER, Distrust, open_state_folder, open_trusted

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
KEEP_DELIVERED = 50
# The states in `job.json`. Only the file `started` shows whether the command did start.
UNSTARTED_STATES = ("received", "acked", "started")


class Stage(Enum):
    """The stage of a job, as its folder shows it."""

    ABSENT = "it has no folder"
    UNSTARTED = "it is stored, and its command cannot have started"
    RUNNING = "a shim runs its command"
    ENDED = "its command ended or was interrupted; no report is stored"
    REPORTED = "its report is stored"
    DELIVERED = "the server has taken its report"


class StateError(Exception):
    """The state folder cannot be used. The text says why."""


def default_state_dir(environment: dict[str, str]) -> str:
    """Return the default state folder: /var/lib/skadi for root, the XDG folder for others."""
    if os.geteuid() == 0:
        return "/var/lib/skadi"
    home = environment.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "skadi")


class Journal:
    """The job folders of one state folder. Raises StateError if it cannot be used or another agent uses it."""

    def __init__(self, state_dir: str) -> None:
        self.state_dir = os.path.realpath(state_dir)
        self.jobs_dir = os.path.join(self.state_dir, "jobs")
        self.prune_lock = threading.Lock()
        try:
            os.makedirs(self.state_dir, mode=0o700, exist_ok=True)
            self._folder = open_state_folder(self.state_dir)
            with contextlib.suppress(FileExistsError):
                os.mkdir("jobs", 0o700, dir_fd=self._folder)
            self._jobs = os.open("jobs", OPEN_FOLDER, dir_fd=self._folder)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock = os.open("lock", flags, 0o600, dir_fd=self._folder)
            self.done = DoneLog(self.state_dir)
        except Distrust as error:
            raise StateError(f"the state folder {self.state_dir} cannot be trusted: {error}") from error
        except OSError as error:
            raise StateError(f"the state folder {self.state_dir} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateError(f"another agent uses the state folder {self.state_dir}") from error
        self._remove_incomplete()

    def folder(self, job_id: str) -> str:
        """Return the folder of a job. Raises ValueError for an id that is not a safe file name."""
        if not JOB_ID.match(job_id):
            raise ValueError("an unsafe job id")
        return os.path.join(self.jobs_dir, job_id)

    def _remove_incomplete(self) -> None:
        """Remove the folders that a crash left under a temporary name. The server got no acknowledgement for them."""
        for entry in os.scandir(self.jobs_dir):
            if entry.name.startswith("."):
                shutil.rmtree(entry.path, ignore_errors=True)

    def receive(self, job_id: str, content: dict[str, Any]) -> None:
        """Create the folder of a new job with its `job.json`, atomically and synced.

        Raises OSError, and FileExistsError if the folder exists.
        """
        final, new = self.folder(job_id), os.path.join(self.jobs_dir, "." + job_id)
        if os.path.lexists(final):
            raise FileExistsError(final)
        try:
            reach("job.before_write")
            os.mkdir(new, 0o700)
            write_atomically(new, "job.json", _json(dict(content, state="received")))
            os.rename(new, final)
            sync_folder(self.jobs_dir)
            reach("job.after_write")
        except (OSError, ValueError):
            shutil.rmtree(new, ignore_errors=True)
            raise

    def set_state(self, job_id: str, state: str, **values: Any) -> None:
        """Store the state of an unstarted job in `job.json`, synced. Raises OSError."""
        reach("move.before_write")
        self.write(job_id, "job.json", {**(self.read(job_id, "job.json") or {}), **values, "state": state})
        reach("move.after_write")

    def stage(self, job_id: str) -> Stage:
        """Return the stage of a job.

        A job is UNSTARTED even if its shim is about to begin. `block_start` decides the race between that shim and us.
        """
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
        """Prevent a shim from starting the command of a job. Return False if it has started. Raises OSError."""
        path = os.path.join(self.folder(job_id), "started")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def discard(self, job_id: str) -> None:
        """Remove a job that never started, so that the server can offer its id again. Raises OSError."""
        new = os.path.join(self.jobs_dir, "." + job_id)
        shutil.rmtree(new, ignore_errors=True)
        reach("forget.before_rename")
        # A rename is atomic; a half-removed folder would look like an interrupted command.
        os.rename(self.folder(job_id), new)
        sync_folder(self.jobs_dir)
        reach("forget.after_rename")
        shutil.rmtree(new, ignore_errors=True)

    def has_file(self, job_id: str, name: str) -> bool:
        """Return whether a file of a job exists."""
        return os.path.exists(os.path.join(self.folder(job_id), name))

    def write(self, job_id: str, name: str, content: dict[str, Any]) -> None:
        """Write a file of a job atomically, synced. Raises OSError."""
        write_atomically(self.folder(job_id), name, _json(content))

    def read(self, job_id: str, name: str) -> dict[str, Any] | None:
        """Read a file of a job. Return None if it is absent, damaged, or another user could have written it."""
        folder = -1
        try:
            folder = os.open(os.path.basename(self.folder(job_id)), OPEN_FOLDER, dir_fd=self._jobs)
            with open(open_trusted(name, folder), encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError, RecursionError, Distrust):
            return None
        finally:
            if folder >= 0:
                os.close(folder)
        return content if isinstance(content, dict) else None

    def job_ids(self) -> Iterator[str]:
        """Return the ids of all job folders, oldest first."""
        found = []
        for entry in os.scandir(self.jobs_dir):
            try:
                if JOB_ID.match(entry.name) and entry.is_dir(follow_symlinks=False):
                    found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
            except FileNotFoundError:
                continue  # another thread removed it in between
        return (name for _, name in sorted(found))

    def is_running(self, job_id: str) -> bool:
        """Return whether a shim holds the lock of a folder."""
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
        """Store that the server took the report, and remove the oldest delivered folders. Raises OSError."""
        self.done.add(job_id)
        if not os.path.isdir(self.folder(job_id)):
            return  # the job was never stored, or the spool has removed its folder
        reach("delivered.before_write")
        self.write(job_id, "delivered.json", {"status": status, "at": time.time()})
        reach("delivered.after_write")
        with self.prune_lock:
            over = [name for name in self.job_ids() if self.has_file(name, "delivered.json") and name in self.done]
            for name in over[:-KEEP_DELIVERED]:
                shutil.rmtree(os.path.join(self.jobs_dir, name), ignore_errors=True)

    def token_worked(self, token: str) -> bool:
        """Return whether the server has accepted this token before."""
        try:
            with open(os.path.join(self.state_dir, "token.sha256"), encoding="ascii") as file:
                return file.read().strip() == _digest(token)
        except (OSError, ValueError):
            return False

    def remember_token(self, token: str) -> None:
        """Store the hash of a token that the server accepts. Raises OSError."""
        if not self.token_worked(token):
            write_atomically(self.state_dir, "token.sha256", _digest(token) + "\n")


def _json(content: dict[str, Any]) -> str:
    return storable(json.dumps(content, ensure_ascii=False))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()
