"""Test a channel with a message that goes nowhere else; its delivery shows the result."""

from __future__ import annotations

from django.utils.translation import gettext as _

from kernel.ids import new_id
from kernel.transactions import run_one
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import LETSERVER, NewMessage
from notifications.models import Channel, Message


def try_channel(channel: Channel) -> Message:
    """Send a test message; raise LimitExceeded if the channel has no room."""
    test = NewMessage(
        owner_id=channel.owner_id,
        text=_("This is a test: the channel %(name)s works.") % {"name": channel.name},
        source=LETSERVER,
        channels=(channel.pk,),
        # A unique key keeps this test from being merged with the one before, which may have failed.
        idempotency_key=f"test:{new_id()}",
        must_reach=True,
    )
    return run_one(accept_messages, test)
