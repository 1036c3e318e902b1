"""A delivery in the hands of the process that sends it."""

from __future__ import annotations

from dataclasses import dataclass

from notifications.models import Channel, Delivery, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that only this process sends now, with its message and channel."""

    delivery: Delivery
    message: Message | None
    channel: Channel | None
