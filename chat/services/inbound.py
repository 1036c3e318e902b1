"""Answer each message of a platform once: a repeat gets the stored first reply.

The row, the effects of the command and the reply are one transaction. If the process dies in the middle, nothing is
written, and the platform's next attempt runs the command. A repeat that arrives before the first has committed waits
for it at the unique digest.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

from django.db import IntegrityError, OperationalError

from accounts.models import ChatIdentity
from chat.commands.registry import Reply
from chat.models import InboundMessage, InboundState
from kernel.bells import ring
from kernel.clock import database_now
from kernel.sealing import Unsealable, seal, unseal
from kernel.transactions import named_transaction

REPLY_LIFE = dt.timedelta(hours=1)
"""Lifetime of a stored reply. Platforms repeat within seconds."""
LIFE = dt.timedelta(days=30)
"""Lifetime of the row that refuses a replay of the message."""
LATER_LIFE = dt.timedelta(minutes=10)
"""An answer that is later than this is not given."""
_TRIES = 3
_BATCH = 500


def respond_once(*, platform: str, account: str, key: str, respond: Callable[[InboundMessage], Reply]) -> Reply:
    """Return the reply to the message with this `key`; `respond` is called only the first time."""
    digest = hashlib.sha256("\n".join((platform, account, key)).encode()).hexdigest()
    for left in reversed(range(_TRIES)):
        try:
            return _respond(digest, platform, respond)
        except OperationalError:
            # Another transaction held the lock. Ours is rolled back, so it can run again.
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def put_off(row: InboundMessage, identity: ChatIdentity, text: str) -> None:
    """Mark, in the transaction that stores the message, that its answer comes later."""
    row.identity, row.state, row.sealed_text = identity, InboundState.LATER, seal(text)
    ring("chat", row.pk)


def put_off_messages(now: dt.datetime, *, older_than: dt.timedelta) -> list[str]:
    """Return the ids of postponed messages that are overdue and not yet too old to answer."""
    rows = InboundMessage.objects.filter(state=InboundState.LATER, came_at__lt=now - older_than)
    return list(rows.filter(came_at__gt=now - LATER_LIFE).values_list("pk", flat=True)[:_BATCH])


def forget_old_messages() -> int:
    """Wipe the texts of messages that no longer repeat, delete the oldest rows; return the number of rows."""
    now = database_now()
    old = InboundMessage.objects.filter(came_at__lt=now - REPLY_LIFE)
    with_text = old.exclude(sealed_reply="", sealed_text="").values_list("pk", flat=True)[:_BATCH]
    wiped = InboundMessage.objects.filter(pk__in=list(with_text)).update(
        sealed_reply="", sealed_text="", state=InboundState.ANSWERED
    )
    gone = InboundMessage.objects.filter(came_at__lt=now - LIFE).values_list("pk", flat=True)[:_BATCH]
    return wiped + InboundMessage.objects.filter(pk__in=list(gone)).delete()[0]


def _respond(digest: str, platform: str, respond: Callable[[InboundMessage], Reply]) -> Reply:
    is_first = False
    try:
        with named_transaction("inbound"):
            row = InboundMessage(digest=digest, platform=platform, came_at=database_now())
            row.save(force_insert=True)
            is_first = True
            reply = respond(row)
            row.sealed_reply = seal(reply.text) if reply.text else ""
            if reply.text or row.state != InboundState.ANSWERED:
                row.save(update_fields=["identity", "state", "sealed_text", "sealed_reply"])
    except IntegrityError:
        if is_first:
            raise
        return _first_reply(digest)
    return reply


def _first_reply(digest: str) -> Reply:
    row = InboundMessage.objects.filter(digest=digest).first()
    try:
        text = unseal(row.sealed_reply) if row is not None and row.sealed_reply else ""
    except Unsealable:
        text = ""
    return Reply(text=text, silent=not text)
