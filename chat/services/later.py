"""Answers after the platform's deadline: they are sent as a message to the chat of the question."""

from __future__ import annotations

from contextlib import suppress

from accounts.models import ChatIdentity
from chat.commands.interpret import answer
from chat.commands.registry import line_of
from chat.models import InboundMessage, InboundState
from kernel.sealing import Unsealable, unseal
from kernel.transactions import named_transaction
from notifications.drivers.base import ChannelError
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.wechat.client import official_account


def answer_put_off(message_id: str) -> None:
    """Answer a postponed message. Two concurrent calls send one answer, because its idempotency key is the message."""
    row = InboundMessage.objects.select_related("identity").filter(pk=message_id, state=InboundState.LATER).first()
    if row is None or row.identity is None:
        return
    try:
        text = unseal(row.sealed_text)
    except Unsealable:
        text = ""
    _show_typing(row.identity)
    # Outside the transaction, because a slow command waits for another service.
    reply = answer(line_of(row.identity, text, message_id=row.pk))
    with named_transaction("later"):
        if reply.text:
            wish = NewMessage(
                owner_id=row.identity.owner_id,
                text=reply.text,
                way="auto",
                address=(row.identity.account, row.identity.external_id),
                idempotency_key=f"inbound:{row.pk}",
            )
            accept_messages([wish])
        InboundMessage.objects.filter(pk=row.pk).update(state=InboundState.ANSWERED, sealed_text="")


def _show_typing(identity: ChatIdentity) -> None:
    """Show “typing” where the platform can. A failure is ignored, because the answer does not depend on it."""
    account = official_account() if identity.platform == "wechat" else None
    if account is not None:
        with suppress(ChannelError):
            account.show_typing(identity.external_id)
