"""Questions before a command that cannot be undone. The next message, within two minutes, is the answer."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from django.utils.translation import gettext as _

from chat.commands.registry import Line, Reply
from chat.commands.words import folded
from chat.models import Question
from kernel.clock import database_now
from kernel.sealing import Unsealable, seal, unseal

ANSWER_TIME = dt.timedelta(minutes=2)
YES = frozenset(map(folded, ("yes", "confirm", "确认", "是的")))
NO = frozenset(map(folded, ("no", "cancel", "取消")))


def ask_first(line: Line, question: str) -> Reply:
    """Store the line until the person says yes, and return the question."""
    keep_question(line)
    return Reply(text=question + "\n" + _("Reply “yes” within two minutes to do it, or “no” to cancel."))


def keep_question(line: Line, *, now: dt.datetime | None = None) -> None:
    """Store the line, so that a yes in this conversation within two minutes runs it. It replaces an older question."""
    until = (now or database_now()) + ANSWER_TIME
    values = {"owner_id": line.owner_id, "sealed_line": seal(line.text), "expires_at": until}
    Question.objects.update_or_create(place=line.place, defaults=values)


def take_question(line: Line) -> Line | None:
    """Take the open question of this conversation and return its line; None if there is none.

    Only one of two concurrent answers gets the line, because the row is deleted only once.
    """
    row = Question.objects.filter(place=line.place, owner_id=line.owner_id).first()
    if row is None or not Question.objects.filter(pk=row.pk).delete()[0] or row.expires_at <= database_now():
        return None
    try:
        return replace(line, text=unseal(row.sealed_line))
    except Unsealable:
        return None
