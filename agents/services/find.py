"""Find agents by what their owner calls them, and tell whether an agent can take jobs."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.querysets import Viewer
from agents.models import Agent, AgentName
from kernel.errors import AgentNotFound, InvalidAgent
from kernel.ids import is_id
from kernel.text import name_key

LONGEST_CALL = 100
"""Most characters of an id, name or alias. A longer text matches no agent and is costly to compare."""


def find_agent(*, viewer: Viewer, called: str) -> Agent:
    """Return the viewer's agent with that id, name or alias; raise AgentNotFound. One query."""
    agents = Agent.objects.visible_to(viewer)
    if len(called) > LONGEST_CALL:
        raise agent_not_found(called)
    key = name_key(called)
    # A database that pads before it compares finds `nas` for `nas `, so the key is compared again here.
    by_name = agents.filter(names__key=key).annotate(found_key=models.F("names__key"))
    agent = agents.filter(pk=called).first() if is_id(called) else by_name.first()
    if agent is None or getattr(agent, "found_key", key) != key:
        raise agent_not_found(called)
    return agent


def find_usable_agent(*, viewer: Viewer, called: str, must_be_online: bool = False) -> Agent:
    """Return the viewer's agent with that id, name or alias if it can take jobs. One query.

    Raises AgentNotFound, and InvalidAgent with the reason of `why_unusable`.
    """
    agent = find_agent(viewer=viewer, called=called)
    if refusal := why_unusable(agent, must_be_online=must_be_online):
        raise refusal
    return agent


def find_agents(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Agent]:
    """Return the agents of many owners, by (owner's id, what that owner calls the agent).

    A pair that matches no agent is missing from the result. Disabled agents are included; deleted ones are not.
    One query for names, one more if any pair looks like an id, none for an empty `wanted`.
    """
    pairs = {(owner_id, called) for owner_id, called in wanted if 0 < len(called) <= LONGEST_CALL}
    if not pairs:
        return {}
    owners = {owner_id for owner_id, _called in pairs}
    keys = {called: name_key(called) for _owner_id, called in pairs if not is_id(called)}
    ids = {called for _owner_id, called in pairs if is_id(called)}
    by_call: dict[tuple[str, str], Agent] = {}
    if keys:
        names = AgentName.objects.select_related("agent").filter(owner_id__in=owners, key__in=set(keys.values()))
        by_call |= {(name.owner_id, name.key): name.agent for name in names}
    if ids:
        present = Agent.objects.present().filter(owner_id__in=owners, pk__in=ids)
        by_call |= {(agent.owner_id, agent.pk): agent for agent in present}
    found = {(owner_id, called): by_call.get((owner_id, keys.get(called, called))) for owner_id, called in pairs}
    return {pair: agent for pair, agent in found.items() if agent is not None}


def is_usable(agent: Agent) -> bool:
    """Tell whether the agent can be given jobs: it is neither deleted nor disabled. It may be offline."""
    return agent.deleted_at is None and agent.enabled


def why_unusable(agent: Agent, *, must_be_online: bool = False) -> InvalidAgent | None:
    """Return the refusal for a job that names this agent; None if the agent can take it.

    `must_be_online`: the job cannot wait for an agent that is offline.
    """
    if not is_usable(agent):
        return InvalidAgent(_("The agent %(name)s is disabled. Enable it first."), params={"name": agent.name})
    if must_be_online and not agent.online:
        return InvalidAgent(params={"name": agent.name})
    return None


def agent_not_found(called: str) -> AgentNotFound:
    """Return the refusal for a text that calls no agent, with a long text cut short."""
    return AgentNotFound(params={"name": called if len(called) <= LONGEST_CALL else called[:LONGEST_CALL] + "…"})
