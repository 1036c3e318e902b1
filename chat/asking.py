"""Questions of an agent before it runs a dangerous entry of its file. The question goes to the chat of the job.

The agent ends the job with the reason `confirm` and has run nothing. A yes within two minutes sends the same text
again, marked as confirmed. Only a person in that conversation can confirm.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from agents.models import Agent
from chat.commands.confirm import keep_question
from chat.commands.registry import Line
from jobs.models import Job
from jobs.transitions import JobMove

REASON = "confirm"
_SOURCE = "chat:"
_CONSOLE = "console"


def keep_questions(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Store a question for every job that was sent from a chat and must be confirmed. Observer of moves."""
    for one in moved:
        if asks(one) and (agent := Agent.objects.filter(pk=one.job.agent_id).first()) is not None:
            keep_question(_line(one.job, agent), now=now)


def asks(one: JobMove) -> bool:
    """Tell whether a job that was sent from a chat ended because its owner must confirm it."""
    return one.output is not None and one.output.reason == REASON and one.job.source.startswith(_SOURCE)


def _line(job: Job, agent: Agent) -> Line:
    """Return the line that ordered the job, with its conversation."""
    talker = job.source.removeprefix(_SOURCE)
    at_console = talker == _CONSOLE
    return Line(
        owner_id=job.owner_id,
        text=f"{agent.name} {job.message}",
        platform=_CONSOLE if at_console else "",
        identity_id="" if at_console else talker,
    )
