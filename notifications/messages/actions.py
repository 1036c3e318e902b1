"""Actions: a person answers a message with a number, which starts a job.

A number belongs to a message that was delivered where the person answers. If several messages there still offer it,
none of them runs: the reply lists them with their marks, and the number with a mark chooses one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import ChatIdentity
from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.errors import InvalidRequest, NotFound
from kernel.text import cut
from kernel.transactions import named_transaction
from kernel.visible import visible_line
from notifications.models import DeliveryState, Message, MessageAction

_COMMAND_CHARACTERS = 200
_MARK = 6
_LOOKED_AT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A number that a person answered, and where.

    `mark`: the end of the message's id, or empty. `identity_id`: the chat identity; empty: the console, which shows
    every message.
    """

    owner_id: str
    number: int
    mark: str = ""
    identity_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenAction:
    """An action that was taken: the job to start and its agent. `words`: what `action_words` says of it."""

    message_id: str
    number: int
    words: str
    agent: str
    text: str


_STILL_OPEN = Q(taken_at=None) | Q(once=False)


def action_words(action: MessageAction) -> str:
    """Return the label, the agent and the command of an action, in the active language: the label alone could lie."""
    command = visible_line(action.text)
    if len(command) > _COMMAND_CHARACTERS:
        count = len(command)
        shown = cut(command, _COMMAND_CHARACTERS, "characters")
        command = _("%(shown)s… (%(count)s characters)") % {"shown": shown, "count": count}
    words = {"label": visible_line(action.label), "agent": visible_line(action.agent), "command": command}
    return _("%(label)s (runs on %(agent)s: %(command)s)") % words


def open_actions(message: Message, now: dt.datetime) -> list[MessageAction]:
    """Return the actions of a message that can still be chosen, by number."""
    actions = sorted(message.actions.all(), key=lambda one: one.number)
    return [one for one in actions if one.expires_at > now and _is_open(one)]


def find_action(choice: Choice, *, now: dt.datetime | None = None) -> MessageAction | None:
    """Return the action that the choice means; None if no message that was delivered there offers the number.

    Raises NotFound if it is too late or the action was chosen before, InvalidRequest if several messages offer it.
    A message that was chosen from counts as well until it expires: a number sent twice must not run another job.
    """
    now = now or database_now()
    offered = [one for one in _delivered(choice, now) if one.message_id.endswith(choice.mark)]
    if not offered:
        return None
    valid = [one for one in offered if one.expires_at > now]
    can_run = [one for one in valid if _is_open(one)]
    if not valid:
        raise NotFound(gettext_lazy("It is too late for this answer: %(words)s"), params=_shown(offered[0]))
    if not can_run:
        raise NotFound(gettext_lazy("This was chosen before: %(words)s"), params=_shown(valid[0]))
    if len(valid) > 1:
        raise InvalidRequest(
            gettext_lazy("More than one message offers this number. Answer with one of these lines:\n%(lines)s"),
            params={"lines": "\n".join(f"{one.number} #{mark_of(one)} – {action_words(one)}" for one in can_run)},
        )
    return can_run[0]


def take_action(choice: Choice, *, now: dt.datetime | None = None) -> TakenAction | None:
    """Take the action that `find_action` finds; None if there is none. Raises as it does.

    Only one of several concurrent callers takes an action that works once. The caller calls `note_action` at the end.
    """
    with named_transaction("action.take"):
        now = now or database_now()
        action = find_action(choice, now=now)
        if action is None or not MessageAction.objects.filter(_STILL_OPEN, pk=action.pk).update(taken_at=now):
            return None
    return TakenAction(
        message_id=action.message_id,
        number=action.number,
        words=action_words(action),
        agent=action.agent,
        text=action.text,
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


def mark_of(action: MessageAction) -> str:
    """Return the end of the message's id, which tells two messages apart."""
    return str(action.message_id)[-_MARK:]


def _delivered(choice: Choice, now: dt.datetime) -> Sequence[MessageAction]:
    """Return the actions of this number in the newest messages that the person can see there, newest first.

    A withdrawn message and one that is not due yet are skipped.
    """
    is_told = Q(message__not_before=None) | Q(message__not_before__lte=now)
    rows = MessageAction.objects.filter(
        is_told, message__owner_id=choice.owner_id, message__withdrawn_at=None, number=choice.number
    )
    if choice.identity_id:
        # Subqueries, because every sign of life of a person comes here: one query each.
        identity = ChatIdentity.objects.filter(pk=choice.identity_id, owner_id=choice.owner_id)
        rows = rows.filter(
            message__deliveries__state=DeliveryState.SENT,
            message__deliveries__channel__account=Subquery(identity.values("account")),
            message__deliveries__channel__address=Subquery(identity.values("external_id")),
        ).distinct()
    return list(rows.order_by("-message_id")[:_LOOKED_AT])


def _is_open(action: MessageAction) -> bool:
    return action.taken_at is None or not action.once


def _shown(action: MessageAction) -> dict[str, object]:
    return {"words": action_words(action)}
