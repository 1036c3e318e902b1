"""Celery tasks: postponed answers, and the sweeps of this app."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from celery import shared_task

from chat.services import codes, inbound, later, upkeep
from kernel.clock import database_now

_LOST_AFTER = dt.timedelta(seconds=10)


def answer_later(ids: Sequence[str]) -> None:
    """Enqueue the answers of these messages. Handler of the bell `chat`."""
    for message_id in ids:
        answer_one.delay(message_id)


@shared_task(name="chat.answer")
def answer_one(message_id: str) -> None:
    """Answer one message."""
    later.answer_put_off(message_id)


@shared_task(name="chat.sweep_unanswered")
def sweep_unanswered() -> None:
    """Answer messages that are still unanswered because their bell was lost."""
    for message_id in inbound.put_off_messages(database_now(), older_than=_LOST_AFTER):
        later.answer_put_off(message_id)


@shared_task(name="chat.sweep_old")
def sweep_old() -> None:
    """Delete expired codes and questions, and old messages and lines."""
    codes.forget_old_codes()
    upkeep.forget_old_rows()
    while inbound.forget_old_messages():
        continue
