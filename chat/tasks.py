"""Answers that take longer than a platform waits, and the sweeps of this app."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from celery import shared_task

from chat.services import codes, inbound, later, upkeep
from kernel.clock import database_now

_LOST_AFTER = dt.timedelta(seconds=10)


def answer_later(ids: Sequence[str]) -> None:
    """Take bells of messages that wait for their answer."""
    for message_id in ids:
        answer_one.delay(message_id)


@shared_task(name="chat.answer")
def answer_one(message_id: str) -> None:
    """Answer one message."""
    later.answer_put_off(message_id)


@shared_task(name="chat.sweep_unanswered")
def sweep_unanswered() -> None:
    """Answer what should have been answered: its bell was lost."""
    for message_id in inbound.put_off_messages(database_now(), older_than=_LOST_AFTER):
        later.answer_put_off(message_id)


@shared_task(name="chat.sweep_old")
def sweep_old() -> None:
    """Forget codes, questions, heard messages and lines that are over."""
    codes.forget_old_codes()
    upkeep.forget_old_rows()
    while inbound.forget_old_messages():
        continue
