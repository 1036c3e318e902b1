"""Actions: a person answers a message with a number, which starts a job."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db.models import Q

from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.transactions import named_transaction
from notifications.models import Message, MessageAction


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenAction:
    """An action that was taken: the job to start and its agent."""

    message_id: str
    number: int
    label: str
    agent: str
    text: str


_STILL_OPEN = Q(taken_at=None) | Q(once=False)


def open_actions(message: Message, now: dt.datetime) -> list[MessageAction]:
    """Return the actions of a message that can still be chosen, by number."""
    actions = sorted(message.actions.all(), key=lambda one: one.number)
    return [one for one in actions if one.expires_at > now and (one.taken_at is None or not one.once)]


def find_action(owner_id: str, number: int, *, now: dt.datetime | None = None) -> MessageAction | None:
    """Return the action of that number of the owner's newest message with open ones; None if there is none.

    A withdrawn message and one that is not due yet are skipped: the person means a message that they can see.
    """
    now = now or database_now()
    is_told = Q(message__not_before=None) | Q(message__not_before__lte=now)
    offered = MessageAction.objects.filter(is_told, message__owner_id=owner_id, message__withdrawn_at=None)
    rows = offered.filter(_STILL_OPEN, expires_at__gt=now)
    newest = rows.order_by("-message_id").values_list("message_id", flat=True).first()
    return rows.filter(message_id=newest, number=number).first() if newest else None


def take_action(owner_id: str, number: int, *, now: dt.datetime | None = None) -> TakenAction | None:
    """Take the action that `find_action` finds; None if there is none.

    Only one of several concurrent callers takes an action that works once. The caller calls `note_action` at the end.
    """
    with named_transaction("action.take"):
        now = now or database_now()
        action = find_action(owner_id, number, now=now)
        if action is None or not MessageAction.objects.filter(_STILL_OPEN, pk=action.pk).update(taken_at=now):
            return None
    return TakenAction(
        message_id=action.message_id, number=number, label=action.label, agent=action.agent, text=action.text
    )


def note_action(owner_id: str, taken: TakenAction) -> None:
    """Write an audit entry for a taken action, as the last write of the transaction that starts its job."""
    record_audit(
        actor=f"user:{owner_id}",
        action="action.take",
        subject=f"message:{taken.message_id}",
        now=database_now(),
        details={"number": taken.number, "agent": taken.agent},
    )
