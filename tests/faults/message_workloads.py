"""Workloads that reach the failpoints of messages and channels; see `workloads.py`."""

from __future__ import annotations

from accounts.models import AuditEntry, ChatIdentity
from accounts.services.identities import ChatAddress, meet_identity
from kernel.clock import database_now
from kernel.ids import new_id
from kernel.transactions import run_one
from notifications.channels.confirming import ask_again, confirm_channel
from notifications.channels.identity import ensure_identity_channel, shut_identity_channel
from notifications.channels.service import ChannelChange, create_channel, delete_channel, update_channel
from notifications.deliveries.replay import replay_delivery
from notifications.deliveries.sending import deliver
from notifications.messages.accept import accept_messages
from notifications.messages.actions import Choice, take_action
from notifications.messages.links import confirmation_url
from notifications.messages.new_message import ActionRequest, NewMessage
from notifications.messages.read import withdraw_message
from notifications.models import OPEN_STATES, Channel, Delivery, DeliveryState, Level, Message, MessageAction, PaceMeter
from tests.factories import make_user
from tests.faults.journal import Journal

# No server listens there: the failpoints do not depend on the service's answer.
_NOBODY = {"url": "https://127.0.0.1:8443/"}


def _channel(journal: Journal) -> Channel:
    channel = create_channel(
        owner_id=make_user(f"u{new_id()}").pk,
        name="hook",
        driver="webhook",
        settings=_NOBODY,
        levels=Level.values,
        actor="test",
    )
    journal.note("channel", id=channel.pk)
    return channel


def _message(journal: Journal, owner_id: str, **more: object) -> Message:
    message = run_one(accept_messages, NewMessage(owner_id=owner_id, text="hello", **more))  # type: ignore[arg-type]
    journal.note("message", id=message.pk)
    return message


def deliver_one(journal: Journal) -> None:
    """A message to an unreachable service: its delivery is tried, marked dead by hand, and replayed."""
    message = _message(journal, _channel(journal).owner_id)
    delivery = Delivery.objects.get(message=message)
    deliver(delivery.pk)
    journal.note("tried", id=delivery.pk)
    Delivery.objects.filter(pk=delivery.pk).update(state=DeliveryState.DEAD, ended_at=database_now())
    assert replay_delivery(delivery)


def answer_one(journal: Journal) -> None:
    """A message with choices, and the choice."""
    owner_id = _channel(journal).owner_id
    _message(journal, owner_id, actions=(ActionRequest(label="again", agent="a", text="date"),))
    assert take_action(Choice(owner_id=owner_id, number=1)) is not None
    journal.note("chosen", owner=owner_id)


def withdraw_one(journal: Journal) -> None:
    """A message that is withdrawn before it is sent."""
    channel = _channel(journal)
    message = _message(journal, channel.owner_id)
    withdraw_message(viewer=channel.owner, message_id=message.pk)
    journal.note("withdrawn", id=message.pk)


def change_channels(journal: Journal) -> None:
    """Create, change and remove channels, and the channels of people who follow and unfollow."""
    _ask_a_mailbox(journal)
    channel = update_channel(channel=_channel(journal), change=ChannelChange(name="other"), actor="test")
    delete_channel(channel=channel, actor="test")
    journal.note("no channel", id=channel.pk)
    identity, _new = meet_identity(ChatAddress(platform="wechat", account="us", external_id=new_id()))
    assert isinstance(identity, ChatIdentity)
    journal.note("channel", id=ensure_identity_channel(identity).pk)
    shut_identity_channel(identity, reason="left")


def _ask_a_mailbox(journal: Journal) -> None:
    address = f"{new_id()}@example.com"
    mailbox = create_channel(
        owner_id=make_user(f"u{new_id()}").pk, name="mail", driver="email", settings={"to": address}, levels=[],
        actor="test",
    )  # fmt: skip
    # Skip the minute between two confirmation mails.
    PaceMeter.objects.filter(key__startswith="confirm:").delete()
    ask_again(channel=mailbox)
    _page, _slash, token = confirmation_url(mailbox.pk, address).rpartition("/")
    journal.note("agreed", id=confirm_channel(token).pk)


def find_losses(lines: list[dict[str, str]]) -> list[str]:
    """Return the lines that the database does not confirm, and orphaned rows."""
    found = []
    for line in lines:
        match line["do"]:
            case "channel":
                kept = _is_channel_kept(line["id"])
            case "agreed":
                kept = Channel.objects.filter(pk=line["id"], confirmed_at__isnull=False).exists()
            case "no channel":
                kept = not Channel.objects.filter(pk=line["id"]).exists()
            case "message":
                kept = Delivery.objects.filter(message_id=line["id"]).exists()
            case "withdrawn":
                kept = not Delivery.objects.filter(message_id=line["id"], state__in=OPEN_STATES).exists()
            case "tried":
                kept = Delivery.objects.filter(pk=line["id"]).exclude(state=DeliveryState.IN_FLIGHT).exists()
            case "chosen":
                taken = MessageAction.objects.filter(message__owner_id=line["owner"], taken_at__isnull=False)
                kept = taken.count() == 1
            case _:
                continue
        if not kept:
            found.append(f"lost: {line}")
    return found


def _is_channel_kept(channel_id: str) -> bool:
    # A removal may have been committed without an answer: the audit trail has it.
    removed = AuditEntry.objects.filter(action="channel.delete", details__id=channel_id)
    return Channel.objects.filter(pk=channel_id).exists() or removed.exists()
