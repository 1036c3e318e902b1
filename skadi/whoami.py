"""Whose agent a token is: asked at the start of the agent, and by `skadi doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from skadi.client import Client, Reply

REQUEST_SECONDS = 10.0
LONGEST_NAME = 100


@dataclass(frozen=True)
class Identity:
    """Who the server says we are."""

    name: str
    owner: str

    def __str__(self) -> str:
        return f"{self.name} (owner {self.owner})"


def ask_who_am_i(client: Client) -> Reply:
    """Ask; servers from before this call answer 404. Raises Unreachable."""
    return client.request("GET", "/agent/whoami", seconds=REQUEST_SECONDS)


def read_identity(reply: Reply) -> Identity | None:
    """Who we are by an answer; None if it does not say so. Nothing is believed unchecked."""
    body = reply.json() if reply.status == 200 else None
    if not isinstance(body, dict):
        return None
    name, owner = body.get("name"), body.get("owner")
    if not isinstance(name, str) or not isinstance(owner, str) or not name or not owner:
        return None
    return Identity(name[:LONGEST_NAME], owner[:LONGEST_NAME])
