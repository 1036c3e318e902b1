"""Reads what job calls take.

Readers take the parsed body (`kernel.strictjson`), the query or a header and return checked values, or raise
InvalidRequest or InvalidMessage that names the field. Calls of the original and of agents ignore unknown fields,
because old and new clients send some; our own refuse them (`kernel.http.bodies`).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from accounts.credentials import SYSTEM_ACTOR, Principal, require_fields
from agents.services.find import LONGEST_CALL
from jobs.api.fields import read_text
from jobs.api.order import QueuedSerializer, check_callback, check_message, read_order
from jobs.life.log import LOG_LIMIT
from jobs.life.submit import Submission
from jobs.models import SOURCE_LENGTH
from jobs.order import JobOrder
from kernel.errors import AgentNotFound, InvalidMessage, InvalidRequest, TooLarge
from kernel.http.bodies import checked_body
from kernel.ids import ID_LENGTH
from kernel.strictjson import JsonObject
from kernel.text import after_words, unstorable_character


def read_submission(
    data: JsonObject, *, principal: Principal, idempotency_key: str | None, default_source: str = "api"
) -> Submission:
    """Read the body of POST /jobs. Raises Forbidden for a field that the caller may not send."""
    require_fields(principal, data)
    return Submission(
        owner_id=principal.owner_id,
        actor=principal.actor,
        order=read_order(checked_body(QueuedSerializer, data), source=default_source),
        idempotency_key=idempotency_key,
    )


def read_system_submission(data: JsonObject, *, idempotency_key: str | None) -> Submission:
    """Read the body of POST /sys/jobs."""
    return Submission(
        owner_id=read_text(data, "user_id", ID_LENGTH, required=True),
        actor=SYSTEM_ACTOR,
        order=JobOrder(
            agent=read_text(data, "agent_id", ID_LENGTH, required=True),
            message=check_message(data.get("message"), "message"),
            source=read_text(data, "source", SOURCE_LENGTH) or SYSTEM_ACTOR,
            callback=read_callback(data),
        ),
        idempotency_key=idempotency_key,
    )


def read_job_line(line: object, *, principal: Principal, idempotency_key: str | None = None) -> Submission:
    """Read `<agent name or alias> <job text>`: the message of /job/add and of /agent/job/add."""
    if not isinstance(line, str):
        raise InvalidMessage(_("message must be text: <agent> <job>."))
    if found := unstorable_character(line):
        raise InvalidMessage(_("The text holds %(character)s, which cannot be kept."), params={"character": found})
    message = after_words(line, 1)
    if not message:
        raise InvalidMessage(_("message must be text: <agent> <job>."))
    agent = line.split(None, 1)[0]
    if len(agent) > LONGEST_CALL:
        raise AgentNotFound(params={"name": agent[:LONGEST_CALL] + "…"})
    source = principal.actor if principal.agent_id else "api"
    return Submission(
        owner_id=principal.owner_id,
        actor=principal.actor,
        order=JobOrder(agent=agent, message=check_message(message, "message"), source=source),
        idempotency_key=idempotency_key,
    )


def read_callback(data: JsonObject) -> str:
    """Read `callback` of one of the original's calls; empty if it is missing."""
    value = data.get("callback")
    return "" if value is None else check_callback(value, "callback")


def read_offset(values: Sequence[str]) -> int:
    """Read `?offset=`, in bytes: 0 without it."""
    if not values:
        return 0
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,9}", values[0]):
        raise InvalidRequest(_("offset is a whole number of bytes."))
    return int(values[0])


def read_log_piece(body: bytes, encoding: str | None) -> str:
    """Read the body of PUT /agent/jobs/{id}/log: clean UTF-8, plain or gzip, at most 1 MiB."""
    if encoding == "gzip":
        body = _unzipped(body)
    elif encoding not in (None, "", "identity"):
        raise InvalidRequest(_("Content-Encoding is gzip, or is not sent."))
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(_("A log is UTF-8, cut between characters.")) from error
    if found := unstorable_character(text):
        raise InvalidRequest(_("The text holds %(character)s, which cannot be kept."), params={"character": found})
    return text


def _unzipped(body: bytes) -> bytes:
    """Return what was zipped, never more than a log may have."""
    stream = zlib.decompressobj(wbits=31)
    try:
        data = stream.decompress(body, LOG_LIMIT + 1)
    except zlib.error as error:
        raise InvalidRequest(_("The body is not gzip.")) from error
    if len(data) > LOG_LIMIT:
        raise TooLarge(params={"limit": LOG_LIMIT})
    if not stream.eof or stream.unused_data:
        raise InvalidRequest(_("The body is not gzip."))
    return data
