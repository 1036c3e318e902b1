"""Every Redis key and channel of the product, in one place. Losing them all delays work and loses nothing."""

from __future__ import annotations

PREFIX = "letserver:"

WAKE_CHANNEL = PREFIX + "wake"
"""Pub/sub channel to the gateways: `agent <id>` may have work, `beat <id>` has jobs to end, `job <id>` has changed."""


READY_SECONDS = 3600
"""Lifetime of a flag. The sweep for lost bells finds older jobs without it."""

READY_PREFIX = PREFIX + "ready:"
"""Before an agent's id: the flag that this agent may have a job waiting. Taken (GETDEL) by the poll that looks."""


def limit_key(limit: str, subject: str) -> str:
    """Counter: calls of `subject` that `limit` counts in the current window. It expires with the window."""
    return f"{PREFIX}limit:{limit}:{subject}"


JOB_STREAM = "skadi:event:job:status"
MESSAGE_STREAM = "skadi:event:message"
"""Streams for upstream programs. They have the names of the original's queues."""

STREAM_LENGTH = 10_000
"""Approximate number of entries kept in each stream."""
