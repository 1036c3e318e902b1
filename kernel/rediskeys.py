"""Every Redis key and channel of the product, in one place. Nothing under them is truth."""

from __future__ import annotations

PREFIX = "letserver:"

WAKE_CHANNEL = PREFIX + "wake"
"""Pub/sub channel to the gateways: `agent <id>` (may have work) and `job <id>` (has changed)."""


READY_SECONDS = 3600
"""How long a flag stands; what is older than that the sweep has seen long ago."""


def ready_key(agent_id: str) -> str:
    """Flag: this agent may have a job waiting. Taken (GETDEL) by the poll that looks."""
    return f"{PREFIX}ready:{agent_id}"
