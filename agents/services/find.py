"""Find an agent of an owner by what a person calls it."""

from __future__ import annotations

from django.db import models

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
    key = name_key(called)
    # Databases that compare padded take a name with a blank at its end for the name: the key is compared again here.
    by_name = agents.filter(names__key=key).annotate(found_key=models.F("names__key"))
    agent = agents.filter(pk=called).first() if is_id(called) else by_name.first()
    if agent is None or getattr(agent, "found_key", key) != key:
        raise AgentNotFound(params={"name": called})
    return agent
