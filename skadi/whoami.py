"""The identity behind a token, for the start of the agent and for `skadi doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from skadi.client import Client, Reply
from skadi.safe_text import one_line

REQUEST_SECONDS = 10.0
LONGEST_NAME = 100


@dataclass(frozen=True)
class Identity:
    """The agent and its owner, as the server names them."""

    name: str
    owner: str

    def __str__(self) -> str:
        return f"{self.name} (owner {self.owner})"


def ask_who_am_i(client: Client) -> Reply:
    """Ask the server. An old one answers 404. Raises Unreachable."""
    return client.request("GET", "/agent/whoami", seconds=REQUEST_SECONDS)


def read_identity(reply: Reply) -> Identity | None:
    """Read the identity from an answer. Return None without a valid one. Every field is checked."""
    body = reply.json() if reply.status == 200 else None
    if not isinstance(body, dict):
        return None
    name, owner = body.get("name"), body.get("owner")
    if not isinstance(name, str) or not isinstance(owner, str) or not name or not owner:
        return None
    return Identity(one_line(name[:LONGEST_NAME]), one_line(owner[:LONGEST_NAME]))
