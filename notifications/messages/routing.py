"""Route a message: the channel to try first, and the channels to fall back to if that one refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kernel.errors import ChannelNotFound
from notifications.channels.confirming import needs_confirmation
from notifications.drivers.registry import driver_of
from notifications.models import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A channel and one of the ways that it offers."""

    channel: Channel
    way: str

    @property
    def mark(self) -> list[str]:
        """Return the step as a delivery stores it in `fallback`."""
        return [self.channel.pk, self.way]


Chain = list[Step]


def chains(
    channels: Sequence[Channel],
    *,
    level: str,
    way: str,
    to: Sequence[str] = (),
    fallback: Sequence[str] = (),
    address: tuple[str, str] | None = None,
    without: frozenset[str] = frozenset(),
) -> list[Chain]:
    """Return one chain for each target of a message. `channels` are all channels of the owner, in order.

    Each channel named in `to` is a target, with `fallback` behind it. Without `to` there is one target: the channel at
    `address` (account and address of the chat to answer in), then the enabled channels of the level, in order. A
    channel that is off or not confirmed is left out unless it was named. Raises ChannelNotFound for an unknown name.
    """
    usable = [channel for channel in channels if channel.pk not in without]
    if to:
        behind = _named(usable, fallback)
        return [_steps([first, *behind], way) for first in _named(usable, to)]
    ready = [channel for channel in usable if channel.enabled and not needs_confirmation(channel)]
    default = [channel for channel in ready if level in channel.levels]
    if address is not None:
        here = [channel for channel in ready if (channel.account, channel.address) == address]
        default = [*here, *default]
    chain = _steps([*default, *_named(usable, fallback)], way)
    return [chain] if chain else []


def remaining_steps(marks: Iterable[Sequence[str]], channels: Mapping[str, Channel]) -> Chain:
    """Return the steps that a delivery stores in `fallback`, without channels that are gone or off."""
    return [
        Step(channel=channels[channel_id], way=way)
        for channel_id, way in marks
        if channel_id in channels and channels[channel_id].enabled
    ]


def _named(channels: Sequence[Channel], names: Iterable[str]) -> list[Channel]:
    by_name = {channel.name: channel for channel in channels} | {channel.pk: channel for channel in channels}
    if missing := [name for name in names if name not in by_name]:
        raise ChannelNotFound(params={"name": missing[0]})
    return [by_name[name] for name in names]


def _steps(channels: Iterable[Channel], way: str) -> Chain:
    """Return a step for each way of each channel, without repeats."""
    unique: dict[str, Channel] = {channel.pk: channel for channel in channels}
    return [
        Step(channel=channel, way=one) for channel in unique.values() for one in driver_of(channel.driver).ways_for(way)
    ]
