"""The target of an order: the agent or the queue that it names, found and checked in the same way for every way to
order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from django.utils.translation import gettext_lazy as _

from accounts.credentials import Principal
from accounts.power import Power, may
from agents.models import Agent
from agents.services.find import agent_not_found, find_agent, find_agents, why_unusable
from jobs.models import Queue
from jobs.order import JobOrder
from kernel.errors import AgentNotFound, AppError, ChannelNotFound, Forbidden, InvalidRequest, QueueNotFound
from notifications.channels.service import known_channels


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


def require_target(principal: Principal, called: str) -> None:
    """Raise Forbidden if the caller may not send jobs to the agent of that id, name or alias. An agent may to itself.

    The answer is the same for an agent that does not exist: the token learns no names.
    """
    if may(principal.holder, Power.COMMAND_AGENTS):
        return
    try:
        allowed = find_agent(viewer=principal, called=called).pk == principal.agent_id
    except AgentNotFound:
        allowed = False
    if not allowed:
        raise Forbidden(_("This agent may send jobs only to itself. Its owner can let it act for them in the console."))


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
    agents = find_agents((owner, order.agent) for owner, order in wanted)
    queues = find_queues((owner, order.queue) for owner, order in wanted)
    return [_target(owner, order, agents, queues) for owner, order in wanted]


def _target(
    owner_id: str, order: JobOrder, agents: dict[tuple[str, str], Agent], queues: dict[tuple[str, str], Queue]
) -> Target | AppError:
    queue = queues.get((owner_id, order.queue))
    agent = queue.agent if queue else agents.get((owner_id, order.agent))
    if order.queue and queue is None:
        return QueueNotFound(params={"name": order.queue})
    if queue is None and agent is None:
        return agent_not_found(order.agent)
    if agent is not None and (refusal := why_unusable(agent)):
        return refusal
    return Target(agent=agent, queue=queue)


def require_names(*, owner_id: str, order: JobOrder) -> None:
    """Raise InvalidRequest for a name in `then` or in `notify` that the owner does not have."""
    if unknown := find_unknown_names([(owner_id, order)]):
        raise unknown[0]


class _Placed(NamedTuple):
    """An order, or a follower in its `then`: `number` is the order's position, `place` is "" or like `then[0]`."""

    number: int
    owner_id: str
    place: str
    order: JobOrder


def find_unknown_names(wanted: Sequence[tuple[str, JobOrder]]) -> dict[int, InvalidRequest]:
    """Return, by position, an error for each (owner, order) whose `then` or `notify` names an agent, a queue or a
    channel that the owner does not have.

    Three queries at most for followers and one for channels; none for orders that have neither.
    """
    roots = [_Placed(number, owner_id, "", order) for number, (owner_id, order) in enumerate(wanted)]
    followers = [
        _Placed(root.number, root.owner_id, place, order) for root in roots for place, order in root.order.followers
    ]
    if not followers and not any(root.order.notify for root in roots):
        return {}
    unknown: dict[int, InvalidRequest] = {}
    targets = find_targets([(one.owner_id, one.order) for one in followers])
    for one, target in zip(followers, targets, strict=True):
        if isinstance(target, AgentNotFound | QueueNotFound):
            unknown.setdefault(one.number, _named_wrongly(one.place, target))
    named = [
        (one, name)
        for one in [*roots, *followers]
        for name in cast("list[str]", (one.order.notify or {}).get("channels", []))
    ]
    known = known_channels({one.owner_id for one, _name in named})
    for one, name in named:
        if (one.owner_id, name) not in known:
            place = f"{one.place}.notify.channels".removeprefix(".")
            unknown.setdefault(one.number, _named_wrongly(place, ChannelNotFound(params={"name": name})))
    return unknown


def _named_wrongly(place: str, problem: AppError) -> InvalidRequest:
    return InvalidRequest(_("%(field)s: %(problem)s"), params={"field": place, "problem": problem})


def find_queues(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Queue]:
    """Return the queues of many owners, by (owner's id, name), their agents loaded.

    A pair without a queue is missing from the result. One query; none if every name is empty.
    """
    pairs = {(owner_id, name) for owner_id, name in wanted if name}
    if not pairs:
        return {}
    owners, names = {owner_id for owner_id, _name in pairs}, {name for _owner_id, name in pairs}
    rows = Queue.objects.select_related("agent").filter(owner_id__in=owners, name__in=names)
    # A database that pads before it compares finds `q` for `q `, so the exact pair is looked up here.
    found = {(queue.owner_id, queue.name): queue for queue in rows}
    return {pair: found[pair] for pair in pairs if pair in found}
