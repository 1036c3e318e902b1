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
    "spawn.before": "The shim is about to be started.",
    "spawn.after": "The shim is on its way.",
    "exit.before_write": "The shim's command has ended; exit.json is not written.",
    "exit.after_write": "exit.json is synced.",
    "report.after_write": "report.json is synced, or could not be; it was not sent.",
    "report.before_send": "A report is about to be sent.",
    "report.after_answer": "The server has answered a report; it is not noted.",
    "done.before_write": "A job is over; done.log does not say so.",
    "done.after_write": "done.log says so.",
}
"""Every point, with what has happened when it is reached. Those of `exit` are the shim's own."""

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
