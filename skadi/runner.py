"""Start a shim for a plan, wait for it, stop it. The agent itself never starts anything else."""

from __future__ import annotations

import grp
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Mapping

from skadi import failpoints, shim
from skadi.entries import Defaults, Entry
from skadi.journal import JOB_ID, Journal
from skadi.match import Plan

ADOPTED_LOOK_SECONDS = 0.5
PASSED_ON = ("TZ",)
MOST_WORDS = 64
HAD_ITS_RUN = 3  # the shim's exit code when another was there before it


@dataclass(frozen=True)
class Job:
    """What the server handed out. `offer` is None under protocol 1, which knows no acknowledgement and no beat.

    `argv` are the words of a job that is no text, empty where they make no sense; None where `message` is all there is.
    """

    id: str
    message: str
    attempt: int = 1
    offer: int | None = None
    lease_seconds: float = 120.0
    ack_seconds: float = 30.0
    confirmed: bool = False
    argv: tuple[str, ...] | None = None

    def claim(self) -> dict[str, int]:
        """What tells the server which hand-out of the job is meant; nothing under protocol 1."""
        return {} if self.offer is None else {"attempt": self.attempt, "offer": self.offer}


def read_job(body: Any) -> Job | None:
    """A job from the answer to a poll; None if it is none. Nothing is believed unchecked."""
    if not isinstance(body, dict):
        return None
    job_id, message = body.get("id"), body.get("message")
    if not isinstance(job_id, str) or not isinstance(message, str) or not JOB_ID.match(job_id):
        return None
    return Job(
        id=job_id,
        message=message,
        attempt=_count(body.get("attempt")) or Job.attempt,
        offer=_count(body.get("offer")),
        lease_seconds=_seconds(body.get("lease_s")) or Job.lease_seconds,
        ack_seconds=_seconds(body.get("ack_s")) or Job.ack_seconds,
        confirmed=_is_confirmed(body.get("params")),
        argv=_words(body.get("argv")),
    )


def _words(value: object) -> tuple[str, ...] | None:
    """The words of a job. What is there and cannot be read is not taken for a text: it matches nothing."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MOST_WORDS or not all(isinstance(word, str) for word in value):
        return ()
    return tuple(value)


def read_kept_job(content: dict[str, Any] | None) -> Job | None:
    """A job from `job.json`, where `argv` is what the shim is to run."""
    return None if content is None else read_job({**content, "argv": content.get("words")})


def _is_confirmed(params: object) -> bool:
    """Whether the owner was asked about this very job and said yes."""
    return isinstance(params, dict) and params.get("confirmed") is True


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e6 else None


def job_as_received(job: Job) -> dict[str, Any]:
    """The first content of `job.json`, from which `read_kept_job` makes the job again."""
    return {
        "id": job.id,
        "message": job.message,
        "attempt": job.attempt,
        "offer": job.offer,
        "lease_s": job.lease_seconds,
        "ack_s": job.ack_seconds,
        "params": {"confirmed": job.confirmed},
        "words": None if job.argv is None else list(job.argv),
        "received": shim.now_text(),
    }


def clean_environment(
    entry: Entry, job_id: str, defaults: Defaults, account: pwd.struct_passwd | None
) -> dict[str, str]:
    """The environment of a command, built from nothing: no token, no proxy, nothing of the agent's own."""
    environment = {
        "PATH": defaults.path,
        "LANG": "C.UTF-8",
        "HOME": account.pw_dir if account else "/",
        "USER": account.pw_name if account else str(os.geteuid()),
        "LOGNAME": account.pw_name if account else str(os.geteuid()),
        "SHELL": (account.pw_shell if account else "") or "/bin/sh",
        "PYTHONUNBUFFERED": "1",
        "SKADI_JOB_ID": job_id,
        "SKADI_ENTRY": entry.name,
    }
    environment.update({name: os.environ[name] for name in PASSED_ON if name in os.environ})
    environment.update(entry.env)
    return environment


def job_file(plan: Plan, job: Job, defaults: Defaults, start_dir: str, agent_pid: int | None) -> dict[str, Any]:
    """What is added to `job.json`: all the shim needs. Raises KeyError for a user or group that is gone."""
    entry = plan.entry
    account: pwd.struct_passwd | None
    if entry.user:
        account = pwd.getpwnam(entry.user)
    else:
        try:
            account = pwd.getpwuid(os.geteuid())
        except KeyError:
            account = None  # a container may run under a number that has no name
    content: dict[str, Any] = {
        "entry": entry.name,
        "argv": list(plan.argv),
        "dir": entry.directory or start_dir,
        "env": clean_environment(entry, job.id, defaults, account),
        "umask": entry.umask,
        "timeout": entry.timeout,
        "kill_after": entry.kill_after,
        "output": entry.output,
        "agent_pid": agent_pid,
    }
    if entry.user and account:
        group = grp.getgrnam(entry.group).gr_gid if entry.group else account.pw_gid
        content.update(user=entry.user, uid=account.pw_uid, gid=group)
    return content


def start_shim(folder: str) -> subprocess.Popen[bytes]:
    """Start the shim of a job folder in a session of its own. Call from a thread that lives as long as the agent.

    Its standard output is a pipe, see `wait_for_shim`; the command does not get this one.
    With -I -S it reads no environment, no site packages and nothing from the current folder. Raises OSError.
    """
    environment: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **failpoints.inherited()}
    failpoints.reach("spawn.before")
    with open(os.path.join(folder, "shim.log"), "wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", os.path.abspath(shim.__file__), folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd="/",
            close_fds=True,
            start_new_session=True,
        )
    failpoints.reach("spawn.after")
    return process


def wait_for_shim(process: subprocess.Popen[bytes]) -> tuple[int, dict[str, Any] | None]:
    """Wait for a shim: its exit code, and the content of `exit.json` where the disk did not take it."""
    said, _ = process.communicate()
    try:
        end = json.loads(said.decode("utf-8"))
    except ValueError:
        end = None
    return process.returncode, end if isinstance(end, dict) else None


def wait_for_adopted(journal: Journal, job_id: str) -> None:
    """Wait for a shim that an earlier run of the agent has started."""
    while journal.is_running(job_id):
        time.sleep(ADOPTED_LOOK_SECONDS)


def stop_adopted(journal: Journal, job_id: str) -> None:
    """Ask such a shim to end its command; its number is its own as long as it holds the lock of the folder."""
    try:
        with open(os.path.join(journal.folder(job_id), "started"), encoding="ascii") as file:
            pid = int(file.read())
    except (OSError, ValueError):
        return
    if journal.is_running(job_id):
        shim.signal_quietly(pid, signal.SIGTERM)
