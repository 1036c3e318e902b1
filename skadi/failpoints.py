"""Named places before and after every step of a job, at which a test lets the agent or its shim die.

SKADI_FAILPOINT=`name:n` or `name:n:file` arms one: the n-th time that a process reaches it, it writes a line into the
file and kills itself with -9. Without the variable nothing happens.
"""

from __future__ import annotations

import itertools
import os

from skadi import shim

VARIABLE = "SKADI_FAILPOINT"

POINTS = {
    "job.before_write": "The server has handed out a job; nothing of it is on disk.",
    "job.after_write": "job.json is synced; the server was not told.",
    "ack.before_send": "The server is about to be asked whether the job may start.",
    "ack.after_answer": "The server has answered; nothing has started.",
    "move.before_write": "A job has come further; job.json does not say so.",
    "move.after_write": "job.json says how far a job has come.",
    "forget.before_rename": "A job is not ours any more; its folder is there.",
    "forget.after_rename": "A job that is not ours has no folder any more, or half of one that nobody looks at.",
    "beat.before_send": "A beat is about to be sent.",
    "beat.after_answer": "The server has answered a beat; nobody has heard what it wants.",
    "cancel.before_write": "An owner wants a job ended; its folder does not say so.",
    "cancel.after_write": "The folder of a job says that its owner wants it ended; its shim was not told.",
    "spawn.before": "The shim is about to be started.",
    "spawn.after": "The shim is on its way.",
    "started.before_write": "The shim has the folder for itself; it does not say so.",
    "started.after_write": "The folder says that its run has begun; no command was started.",
    "command.after_start": "The command runs.",
    "exit.before_write": "The shim's command has ended; exit.json is not written.",
    "exit.after_write": "exit.json is synced.",
    "report.before_write": "A job has its outcome; no report is stored.",
    "report.after_write": "report.json is synced, or could not be; it was not sent.",
    "report.before_send": "A report is about to be sent.",
    "report.after_answer": "The server has answered a report; it is not noted.",
    "log.before_send": "A piece of a log is about to be sent.",
    "log.after_answer": "The server has answered a piece of a log; it is not counted.",
    "done.before_write": "A job is over; done.log does not say so.",
    "done.after_write": "done.log says so.",
    "delivered.before_write": "done.log has the job; its folder does not say that its report was taken.",
    "delivered.after_write": "The folder says that its report was taken.",
}
"""Every point, with what has happened when it is reached. The shim has `started`, `command` and `exit`."""

_counter = itertools.count(1)
_name, _at, _file = shim.armed_failpoint(os.environ.get(VARIABLE, ""))
if _name and _name not in POINTS:
    raise ValueError(f"{VARIABLE} names no failpoint: {_name}")


def reach(name: str) -> None:
    """Die here if this point is armed and this is the n-th time."""
    if name == _name and next(_counter) == _at:
        shim.die_at(name, _file)


def inherited() -> dict[str, str]:
    """What a shim is told of it, whose environment is otherwise empty."""
    return {VARIABLE: os.environ[VARIABLE]} if _name else {}
