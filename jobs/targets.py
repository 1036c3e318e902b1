"""The target of an order: the agent or the queue that it names, found and checked in the same way for every way to
order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from agents.models import Agent, AgentName
from jobs.models import Queue
from jobs.order import JobOrder
from kernel.errors import AgentNotFound, AppError, InvalidAgent, QueueNotFound
from kernel.ids import is_id
from kernel.text import name_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A queue with its agent, if it has one; or an agent alone."""

    agent: Agent | None
    queue: Queue | None = None

    @property
    def agent_id(self) -> str | None:
        """The agent that gets the job."""
        return self.agent.pk if self.agent else None

    @property
    def queue_id(self) -> str | None:
        """The queue."""
        return self.queue.pk if self.queue else None


def is_usable(agent: Agent) -> bool:
    """Tell whether the agent may be given jobs, now or when it is back."""
    return agent.enabled and agent.deleted_at is None


def disabled(agent: Agent) -> InvalidAgent:
    """Return the error for an agent that may not be given jobs."""
    return InvalidAgent(_("The agent %(name)s is disabled. Enable it first."), params={"name": agent.name})


def find_target(*, owner_id: str, order: JobOrder) -> Target:
    """Return where one order goes; raise AgentNotFound, QueueNotFound, or InvalidAgent for a disabled agent."""
    (found,) = find_targets([(owner_id, order)])
    if isinstance(found, AppError):
        raise found
    return found


def find_targets(wanted: Sequence[tuple[str, JobOrder]]) -> list[Target | AppError]:
    """Return for each (owner, order) where it goes, or AgentNotFound, QueueNotFound, InvalidAgent.

    One query for the names of agents, one for their ids, one for queues; each only if something is called so.
    """
    agents = _find_agents({(owner, order.agent) for owner, order in wanted if order.agent})
    queues = _find_queues({(owner, order.queue) for owner, order in wanted if order.queue})
    return [_target(owner, order, agents, queues) for owner, order in wanted]


def _target(
    owner_id: str, order: JobOrder, agents: dict[tuple[str, str], Agent], queues: dict[tuple[str, str], Queue]
) -> Target | AppError:
    queue = queues.get((owner_id, order.queue))
    agent = queue.agent if queue else agents.get((owner_id, order.agent))
    if order.queue and queue is None:
        return QueueNotFound(params={"name": order.queue})
    if queue is None and agent is None:
        return AgentNotFound(params={"name": order.agent})
    if agent is not None and not is_usable(agent):
        return disabled(agent)
    return Target(agent=agent, queue=queue)


def _find_queues(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Queue]:
    if not wanted:
        return {}
    rows = Queue.objects.select_related("agent").filter(
        owner_id__in={owner for owner, _name in wanted}, name__in={name for _owner, name in wanted}
    )
    return {(queue.owner_id, queue.name): queue for queue in rows}


def _find_agents(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Agent]:
    if not wanted:
        return {}
    owners = {owner for owner, _called in wanted}
    names = AgentName.objects.select_related("agent").filter(
        owner_id__in=owners, key__in={name_key(called) for _owner, called in wanted}
    )
    by_key = {(name.owner_id, name.key): name.agent for name in names}
    ids = {called for _owner, called in wanted if is_id(called)}
    by_id = (
        {(agent.owner_id, agent.pk): agent for agent in Agent.objects.present().filter(owner_id__in=owners, pk__in=ids)}
        if ids
        else {}
    )
    found = {}
    for owner, called in wanted:
        agent = by_id.get((owner, called)) or by_key.get((owner, name_key(called)))
        if agent is not None:
            found[owner, called] = agent
    return found
