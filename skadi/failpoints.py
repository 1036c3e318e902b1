"""Named points before and after every step of a job, at which a test kills the agent or its shim.

SKADI_FAILPOINT=`name:n` or `name:n:file` arms one. When a process reaches it for the n-th time, it appends a line to
the file and kills itself with SIGKILL. Without the variable nothing happens.
"""

from __future__ import annotations

import itertools
import os

from skadi import shim

VARIABLE = "SKADI_FAILPOINT"

POINTS = {
    "job.before_write": "The server has offered a job; the disk has nothing of it.",
    "job.after_write": "job.json is synced; the server has no acknowledgement.",
    "ack.before_send": "The acknowledgement is about to be sent.",
    "ack.after_answer": "The server has answered; nothing has started.",
    "move.before_write": "A job has a new state; job.json does not have it.",
    "move.after_write": "job.json has the new state.",
    "forget.before_rename": "A job is to be discarded; its folder exists.",
    "forget.after_rename": "The folder of a discarded job is removed or renamed.",
    "beat.before_send": "A beat is about to be sent.",
    "beat.after_answer": "The server has answered a beat; the agent has not read the answer.",
    "cancel.before_write": "An owner has canceled a job; its folder does not show it.",
    "cancel.after_write": "The folder of a job shows the cancel; its shim has no signal.",
    "spawn.before": "The shim is about to be started.",
    "spawn.after": "The shim is started.",
    "started.before_write": "The shim holds the lock; the folder has no file `started`.",
    "started.after_write": "The file `started` is synced; no command was started.",
    "command.after_start": "The command runs.",
    "exit.before_write": "The shim's command has ended; exit.json is not written.",
    "exit.after_write": "exit.json is synced.",
    "report.before_write": "The result of a job is known; no report is stored.",
    "report.after_write": "report.json is synced, or could not be; it was not sent.",
    "report.before_send": "A report is about to be sent.",
    "report.after_answer": "The server has answered a report; the answer is not stored.",
    "log.before_send": "A chunk of a log is about to be sent.",
    "log.after_answer": "The server has answered a chunk of a log; the offset is not advanced.",
    "done.before_write": "A job is finished; done.log does not have its id.",
    "done.after_write": "done.log has the id.",
    "delivered.before_write": "done.log has the id; the folder has no delivered.json.",
    "delivered.after_write": "delivered.json is synced.",
}
"""Every point, with what has happened when a process reaches it. The shim has `started`, `command` and `exit`."""

_counter = itertools.count(1)
_name, _at, _file = shim.armed_failpoint(os.environ.get(VARIABLE, ""))
if _name and _name not in POINTS:
    raise ValueError(f"{VARIABLE} names no failpoint: {_name}")


def reach(name: str) -> None:
    """Kill this process if the point is armed and this is the n-th time."""
    if name == _name and next(_counter) == _at:
        shim.die_at(name, _file)


def inherited() -> dict[str, str]:
    """Return the variable for a shim, whose environment is otherwise empty."""
    return {VARIABLE: os.environ[VARIABLE]} if _name else {}
