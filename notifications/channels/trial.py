"""Try a channel: a message for it alone, whose deliveries tell what became of it."""

from __future__ import annotations

from django.utils.translation import gettext as _

from kernel.alone import run_alone
from kernel.ids import new_id
from notifications.messages.accept import NewMessage, accept_messages
from notifications.models import Channel, Message


def try_channel(channel: Channel) -> Message:
    """Send a test, also right after another one; raise LimitExceeded where the channel has no room."""
    wish = NewMessage(
        owner_id=channel.owner_id,
        text=_("This is a test: the channel %(name)s works.") % {"name": channel.name},
        source="LetServer",
        channels=(channel.pk,),
        # With a key of its own it is not merged with the test before, which the person has just mended.
        idempotency_key=f"test:{new_id()}",
        must_reach=True,
    )
    return run_alone(accept_messages, wish)
