"""Start a shim, wait for it, and stop it. The agent itself starts no other program."""

from __future__ import annotations

import grp
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from typing import Any, Mapping

from skadi import failpoints, shim
from skadi.entries import Defaults, Entry
from skadi.job import Job
from skadi.journal import Journal
from skadi.match import Plan

ADOPTED_LOOK_SECONDS = 0.5
PASSED_ON = ("TZ",)
ALREADY_RUN = 3  # the shim's exit code if another shim has had the folder


def command_environment(
    entry: Entry, job_id: str, defaults: Defaults, account: pwd.struct_passwd | None
) -> dict[str, str]:
    """Build the environment of a command from scratch: no token, no proxy, nothing of the agent's own."""
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


def shim_fields(plan: Plan, job: Job, defaults: Defaults, start_dir: str) -> dict[str, Any]:
    """Return all that the shim needs, for `job.json`. Raises KeyError for a user or group that does not exist."""
    entry = plan.entry
    account: pwd.struct_passwd | None
    if entry.user:
        account = pwd.getpwnam(entry.user)
    else:
        try:
            account = pwd.getpwuid(os.geteuid())
        except KeyError:
            account = None  # in a container the user id may have no name
    content: dict[str, Any] = {
        "entry": entry.name,
        "argv": list(plan.argv),
        "dir": entry.directory or start_dir,
        "env": command_environment(entry, job.id, defaults, account),
        "umask": entry.umask,
        "timeout": entry.timeout,
        "kill_after": entry.kill_after,
        "output": entry.output,
        "agent_pid": os.getpid() if dies_with_parent() else None,
    }
    if entry.user and account:
        group = grp.getgrnam(entry.group).gr_gid if entry.group else account.pw_gid
        content.update(user=entry.user, uid=account.pw_uid, gid=group)
    return content


def dies_with_parent() -> bool:
    """Return whether a development supervisor started the agent, after whose end nothing may run."""
    return os.environ.get("SKADI_DIE_WITH_PARENT") == "1"


def start_shim(folder: str) -> subprocess.Popen[bytes]:
    """Start the shim of a job folder in its own session. Call it in a thread that lives as long as the agent.

    Its standard output is a pipe, see `wait_for_shim`; the command does not inherit it. With -I and -S the shim ignores
    the environment, site packages and the current folder. Raises OSError.
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
    """Wait for a shim. Return its exit code, and the content of `exit.json` if it could not write that file."""
    said, _ = process.communicate()
    try:
        end = json.loads(said.decode("utf-8"))
    except ValueError:
        end = None
    return process.returncode, end if isinstance(end, dict) else None


def wait_for_adopted(journal: Journal, job_id: str) -> None:
    """Wait for a shim that the last run of the agent started."""
    while journal.is_running(job_id):
        time.sleep(ADOPTED_LOOK_SECONDS)


def stop_adopted(journal: Journal, job_id: str) -> None:
    """Send SIGTERM to such a shim. Its pid cannot be reused while it holds the lock of the folder."""
    try:
        with open(os.path.join(journal.folder(job_id), "started"), encoding="ascii") as file:
            pid = int(file.read())
    except (OSError, ValueError):
        return
    if journal.is_running(job_id):
        shim.signal_quietly(pid, signal.SIGTERM)
