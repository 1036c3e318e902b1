"""Where a message goes: the channel that is tried first, and those to fall back to when it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kernel.errors import ChannelNotFound
from notifications.channels.confirming import needs_confirmation
from notifications.drivers.registry import driver_of
from notifications.models import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One try: a channel and one of its ways."""

    channel: Channel
    way: str

    @property
    def mark(self) -> list[str]:
        """How a delivery remembers the step."""
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
    """Return one chain for each target of a message. `channels` are all of the owner's, in order.

    Named with `to`: every one of these, each with `fallback` behind it. Else one target: the channel at `address`
    (account and address of who is answered), then the enabled ones of the level in order. A channel that is switched
    off, or waits for its mailbox to agree, is left out unless it was named. Raises ChannelNotFound for a name that is
    none.
    """
    usable = [channel for channel in channels if channel.pk not in without]
    if to:
        behind = _named(usable, fallback)
        return [_steps([first, *behind], way) for first in _named(usable, to)]
    open_now = [channel for channel in usable if channel.enabled and not needs_confirmation(channel)]
    default = [channel for channel in open_now if level in channel.levels]
    if address is not None:
        here = [channel for channel in open_now if (channel.account, channel.address) == address]
        default = [*here, *default]
    chain = _steps([*default, *_named(usable, fallback)], way)
    return [chain] if chain else []


def _named(channels: Sequence[Channel], names: Iterable[str]) -> list[Channel]:
    by_name = {channel.name: channel for channel in channels} | {channel.pk: channel for channel in channels}
    if missing := [name for name in names if name not in by_name]:
        raise ChannelNotFound(params={"name": missing[0]})
    return [by_name[name] for name in names]


def _steps(channels: Iterable[Channel], way: str) -> Chain:
    """Expand each channel into its ways, once."""
    seen: dict[str, Channel] = {channel.pk: channel for channel in channels}
    return [
        Step(channel=channel, way=one) for channel in seen.values() for one in driver_of(channel.driver).ways_for(way)
    ]
