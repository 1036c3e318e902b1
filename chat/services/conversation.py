"""A person's conversation in the console: their lines, the replies, and every message sent to them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import User
from chat.commands.interpret import answer
from chat.commands.registry import Line, Reply
from chat.models import ChatLine, InboundMessage
from chat.services.inbound import respond_once
from kernel.clock import database_now
from kernel.strictjson import JsonValue
from notifications.models import Message

SHOWN = 60
_LONGEST_KEY = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """One bubble of the conversation. `message` is set if it is a message, with the actions that it offers."""

    id: str
    text: str
    at: dt.datetime
    from_person: bool = False
    message: Message | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The result of a line: the reply, and the id of its ChatLine (empty: there was no reply)."""

    reply: Reply
    line_id: str = ""


def say_at_console(*, user: User, text: str, key: str, language: str) -> Said:
    """Run a line once per `key`, and store the line and its reply, secrets masked."""
    kept: list[str] = []

    def respond(row: InboundMessage) -> Reply:
        now = database_now()
        line = Line(owner_id=user.pk, text=text, platform="console", language=language, message_id=row.pk)
        ChatLine.objects.create(owner=user, from_person=True, text=text, at=now)
        reply = answer(line)
        if not reply.silent:
            kept.append(ChatLine.objects.create(owner=user, from_person=False, text=reply.to_keep, at=now).pk)
        return reply

    reply = respond_once(platform="console", account=user.pk, key=key[:_LONGEST_KEY], respond=respond)
    return Said(reply=reply, line_id=kept[0] if kept else "")


def conversation(*, user: User) -> Sequence[Bubble]:
    """Return the newest bubbles of the conversation, oldest first. Three queries."""
    lines = ChatLine.objects.visible_to(user).order_by("-id")[:SHOWN]
    messages = Message.objects.visible_to(user).prefetch_related("actions").order_by("-id")[:SHOWN]
    bubbles = [
        *(Bubble(id=line.pk, text=line.text, at=line.at, from_person=line.from_person) for line in lines),
        *(Bubble(id=message.pk, text=message.text, at=message.created_at, message=message) for message in messages),
    ]
    return sorted(bubbles, key=lambda bubble: (bubble.at, bubble.id))[-SHOWN:]


def mark_of(bubbles: Sequence[Bubble]) -> list[JsonValue]:
    """Return a value that changes whenever the shown conversation changes."""
    counts = sum(bubble.message.count for bubble in bubbles if bubble.message)
    return [bubbles[-1].id if bubbles else "", len(bubbles), counts]
