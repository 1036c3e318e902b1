"""Every Redis key and channel of the product, in one place. Nothing under them is truth."""

from __future__ import annotations

PREFIX = "letserver:"

WAKE_CHANNEL = PREFIX + "wake"
"""Pub/sub channel to the gateways: `agent <id>` may have work, `beat <id>` has jobs to end, `job <id>` has changed."""


READY_SECONDS = 3600
"""How long a flag stands; what is older than that the sweep has seen long ago."""


def ready_key(agent_id: str) -> str:
    """Flag: this agent may have a job waiting. Taken (GETDEL) by the poll that looks."""
    return f"{PREFIX}ready:{agent_id}"


def limit_key(limit: str, subject: str) -> str:
    """Counter: how often `subject` did what `limit` counts, in the window that is open now. Gone at its end."""
    return f"{PREFIX}limit:{limit}:{subject}"


JOB_STREAM = "skadi:event:job:status"
MESSAGE_STREAM = "skadi:event:message"
"""Streams for upstream programs, under the names that the original's queues had."""

STREAM_LENGTH = 10_000
"""About so many entries are kept in each."""
