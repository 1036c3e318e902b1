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

from accounts.credentials import SYSTEM_ACTOR, Principal
from agents.services.find import LONGEST_CALL
from agents.services.presence import VERSION_LENGTH
from jobs.api.fields import read_flag, read_number, read_text
from jobs.api.order import QueuedSerializer, check_callback, check_message, read_order
from jobs.life.beat import Beat
from jobs.life.log import LOG_LIMIT
from jobs.life.report import Report, ReportKind
from jobs.life.submit import Submission
from jobs.models import SOURCE_LENGTH
from jobs.order import JobOrder
from jobs.transitions import Output
from kernel.errors import AgentNotFound, InvalidMessage, InvalidRequest, TooLarge
from kernel.http.bodies import checked_body
from kernel.ids import ID_LENGTH, is_id
from kernel.strictjson import JsonObject
from kernel.text import collapse_spaces, keep_head_and_tail, unstorable_character

REPORT_BODY_LIMIT = 8 * 1024 * 1024
WAIT_LIMIT_SECONDS = 55
PROTOCOL = 2
BEAT_JOBS_LIMIT = 500

_REASON_LENGTH = 64


def read_submission(
    data: JsonObject, *, principal: Principal, idempotency_key: str | None, default_source: str = "api"
) -> Submission:
    """Read the body of POST /jobs."""
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
    agent, _space, message = collapse_spaces(line).partition(" ")
    if not message:
        raise InvalidMessage(_("message must be text: <agent> <job>."))
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


def read_report(data: JsonObject, *, kind: ReportKind, job_id: str, principal: Principal, protocol: int = 1) -> Report:
    """Read the body of PUT /agent/jobs/{id}/{running,succeed,fail}; every field may be missing."""
    result = data.get("result")
    if result is not None and not isinstance(result, str):
        raise InvalidRequest(_("%(field)s must be text."), params={"field": "result"})
    kept = keep_head_and_tail(result or "")
    output = Output(
        text=kept.text,
        exit_code=read_number(data, "exit_code", -(2**31), 2**31 - 1),
        signal=read_number(data, "signal", 0, 255),
        reason=read_text(data, "reason", _REASON_LENGTH),
        truncated=read_flag(data, "truncated") or kept.truncated,
        size_bytes=read_number(data, "size_bytes", 0, 2**53) or kept.size_bytes,
        log_size=read_number(data, "log_size", 0, 2**53),
    )
    return Report(
        agent_id=principal.agent_id,
        job_id=job_id,
        kind=kind,
        output=output,
        protocol=protocol,
        offer=read_number(data, "offer", 0, 2**31),
    )


def read_protocol(header: str | None) -> int:
    """Read `Skadi-Protocol`: 2 for agents that acknowledge and beat, 1 for all others."""
    return PROTOCOL if header is not None and header.strip().isdecimal() and int(header) >= PROTOCOL else 1


def read_beat(data: JsonObject, *, principal: Principal) -> Beat:
    """Read the body of POST /agent/beat: `running` lists objects with the ids of jobs; other fields are ignored."""
    running = data.get("running") or []
    if not isinstance(running, list) or len(running) > BEAT_JOBS_LIMIT:
        raise InvalidRequest(_("running is a list of at most %(limit)s jobs."), params={"limit": BEAT_JOBS_LIMIT})
    ids: set[str] = set()
    for job in running:
        job_id = job.get("id") if isinstance(job, dict) else None
        if not isinstance(job_id, str):
            raise InvalidRequest(_("%(field)s must be text."), params={"field": "running[].id"})
        ids.add(job_id)
    return Beat(agent_id=principal.agent_id, job_ids=frozenset(job_id for job_id in ids if is_id(job_id)))


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


def read_agent_version(header: str | None) -> str:
    """Read what an agent says of itself in `Skadi-Agent`: printable ASCII, cut to what is kept."""
    said = (header or "").strip()
    return said[:VERSION_LENGTH] if said.isascii() and said.isprintable() else ""


def read_wait(values: Sequence[str]) -> int:
    """Read `?wait=`: 0 without it; over the limit counts as the limit."""
    if not values:
        return 0
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,9}", values[0]):
        raise InvalidRequest(_("wait is a whole number of seconds."))
    return min(int(values[0]), WAIT_LIMIT_SECONDS)
