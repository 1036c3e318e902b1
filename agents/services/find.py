"""Find an agent of an owner by what a person calls it."""

from __future__ import annotations

from accounts.querysets import Viewer
from agents.models import Agent
from kernel.errors import AgentNotFound
from kernel.ids import is_id
from kernel.text import name_key

LONGEST_CALL = 100
"""Characters of an id, a name or an alias; what is longer is nobody's, and costly to compare."""


def find_agent(*, viewer: Viewer, called: str) -> Agent:
    """Return the viewer's agent with that id, name or alias; raise AgentNotFound. One query."""
    agents = Agent.objects.visible_to(viewer)
    if len(called) > LONGEST_CALL:
        raise AgentNotFound(params={"name": called[:LONGEST_CALL] + "…"})
    agent = (agents.filter(pk=called) if is_id(called) else agents.filter(names__key=name_key(called))).first()
    if agent is None:
        raise AgentNotFound(params={"name": called})
    return agent
