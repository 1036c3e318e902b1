"""The life of a job on one screen: its states, the moves between them, the ends.

One function makes every move: `jobs.transitions.move_jobs`. T numbers are those of docs/state-machine.md.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobStatus(models.TextChoices):
    """The status of a job. The values are words of the wire and never change."""

    QUEUING = "queuing", _("queuing")
    """Waits for its agent. Entered at submission; left by a claim, a cancel, or when the wait is over."""
    SENT = "sent", _("sent")
    """Handed to its agent, which has a lease on it. Left by any report, or by the end of the lease."""
    RUNNING = "running", _("running")
    """The agent said so; each such report renews the lease. Left by an end, or by the end of the lease."""
    SUCCEEDED = "succeeded", _("succeeded")
    """The agent reported success. Final."""
    FAILED = "failed", _("failed")
    """The agent reported failure, or refused the job. Final."""
    EXPIRED = "expired", _("expired")
    """No agent claimed it in time, or no report came before the lease ended. Final, but for one late result."""
    CANCELED = "canceled", _("canceled")
    """Taken back by its owner, or its agent was removed. Final."""


class Move(models.TextChoices):
    """The name of a transition, written into its event."""

    SUBMIT = "submit", _("submitted")
    CLAIM = "claim", _("taken by the agent")
    REOFFER = "reoffer", _("offered again")
    PROGRESS = "progress", _("progress")
    FINISH = "finish", _("finished")
    FINISH_LATE = "finish_late", _("finished late")
    LEASE_END = "lease_end", _("no word from the agent in time")
    WAIT_END = "wait_end", _("not taken in time")
    CANCEL = "cancel", _("canceled")
    ASK_CANCEL = "ask_cancel", _("cancel requested")
    REMOVE = "remove", _("agent removed")


_Q, _S, _R = JobStatus.QUEUING, JobStatus.SENT, JobStatus.RUNNING
_OK, _NO, _X, _C = JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED, JobStatus.CANCELED

TRANSITIONS: dict[Move, frozenset[tuple[JobStatus | None, JobStatus]]] = {
    Move.SUBMIT: frozenset({(None, _Q)}),  # T1
    Move.CLAIM: frozenset({(_Q, _S)}),  # T2
    Move.REOFFER: frozenset({(_S, _Q)}),  # T2b: the answer never left us, or (protocol 2) was never acknowledged
    Move.PROGRESS: frozenset({(_S, _R), (_R, _R)}),  # T3
    Move.FINISH: frozenset({(_S, _OK), (_S, _NO), (_R, _OK), (_R, _NO)}),  # T4
    Move.FINISH_LATE: frozenset({(_X, _OK), (_X, _NO)}),  # T4b: once, within seven days
    Move.LEASE_END: frozenset({(_S, _X), (_R, _X)}),  # T5
    Move.WAIT_END: frozenset({(_Q, _X)}),  # T6
    Move.CANCEL: frozenset({(_Q, _C), (_S, _C)}),  # T7: nothing has started
    Move.ASK_CANCEL: frozenset({(_S, _S), (_R, _R)}),  # T7: the server asks the agent to end it
    Move.REMOVE: frozenset({(_Q, _C), (_S, _C), (_R, _C)}),  # T7: no agent is left that could report
}

WAITING = frozenset({_Q})
ACTIVE = frozenset({_S, _R})
TERMINAL = frozenset({_OK, _NO, _X, _C})
