"""The channels of an agent: queues that are created on first use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agents.models import Agent
from jobs.coyotes.words import NO_NAME, Refusal
from jobs.life.insert import lock_queues
from jobs.models import QUEUE_NAME_LENGTH, Queue, QueueState
from jobs.queues.service import WIDTH_LIMIT, QueueSettings, put_queue
from kernel.clock import database_now
from kernel.ids import ID_LENGTH
from kernel.transactions import run_one

DELAYED_CHANNEL = "delayed"
DEFAULT_CHANNELS = {"default": True, "biz": True, "cron": True, DELAYED_CHANNEL: False}
"""The channels that are always there, and whether their tasks are distinct."""

DEFAULT_WORKERS, WORKERS_LIMIT = 5, WIDTH_LIMIT
_NAME_LEFT = QUEUE_NAME_LENGTH - ID_LENGTH - len("coyotes::")
_PLAIN_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{_NAME_LEFT}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChannel:
    """A checked request for a channel."""

    agent: Agent
    name: str
    distinct: bool
    workers: int


def channels_of(agent: Agent) -> dict[str, Queue]:
    """Return an agent's channels by name, sorted; those that are always there are made at the first call."""
    found = _channels(agent)
    missing = DEFAULT_CHANNELS.keys() - found.keys()
    for name in sorted(missing):
        _put_channel(NewChannel(agent=agent, name=name, distinct=DEFAULT_CHANNELS[name], workers=DEFAULT_WORKERS))
    return _channels(agent) if missing else found


def find_channel(agent: Agent, name: str) -> Queue | None:
    """Return one channel of an agent, or None."""
    return channels_of(agent).get(name)


def add_channel(channel: NewChannel) -> None:
    """Make a channel. Raises Refusal for one without a name or with that of another."""
    if not channel.name:
        raise Refusal(NO_NAME)
    # Databases that compare padded take a name with a blank at its end for the name.
    if channel.name.rstrip(" ") in {name.rstrip(" ") for name in channels_of(channel.agent)}:
        raise Refusal(f"channel {channel.name} has existed")
    _put_channel(channel)


def forget_channel(agent: Agent, name: str) -> None:
    """Remove a channel, if it exists. Its queue finishes its jobs under a name that no other queue can have.

    Built-in channels stay: the original creates them again too.
    """
    if name not in DEFAULT_CHANNELS and (queue := find_channel(agent, name)) is not None:
        run_one(_forget_queues, queue.pk)


def _channels(agent: Agent) -> dict[str, Queue]:
    rows = Queue.objects.filter(agent=agent).exclude(channel=None)
    return {queue.channel or "": queue for queue in sorted(rows, key=lambda queue: queue.channel or "")}


def _put_channel(channel: NewChannel) -> None:
    """Make the queue that is a channel. Its name is the channel's where a queue may be called so."""
    own = channel.name if _PLAIN_NAME.fullmatch(channel.name) else hashlib.sha256(channel.name.encode()).hexdigest()
    queue, _is_new = put_queue(
        viewer=channel.agent.owner,
        name=f"coyotes:{channel.agent.pk}:{own[:_NAME_LEFT]}",
        settings=QueueSettings(agent=channel.agent.pk, width=channel.workers, distinct=channel.distinct),
        channel=channel.name,
    )
    if queue.channel is None:  # its owner made a queue of that name
        Queue.objects.filter(pk=queue.pk).update(channel=channel.name)


def _forget_queues(ids: Sequence[str]) -> list[None]:
    now = database_now()
    for queue in lock_queues(ids).values():
        queue.channel, queue.name = None, f"coyotes-gone:{queue.pk}"
        queue.state, queue.updated_at = QueueState.DRAINING, now
        queue.save(update_fields=["channel", "name", "state", "updated_at"])
    return [None] * len(ids)
