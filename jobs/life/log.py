"""The live log of a job: its agent appends pieces, its owner reads from any byte offset."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from jobs.life.report import LATE_DAYS
from jobs.models import Job, JobLogChunk, JobOutput
from jobs.states import JobStatus
from jobs.transitions import lock_jobs
from kernel.bells import ring
from kernel.clock import database_now
from kernel.errors import InvalidRequest, JobNotFound, NotFound, TooLarge
from kernel.ids import is_id
from kernel.transactions import named_transaction

LOG_LIMIT = 1024 * 1024
"""Limit in bytes for the log of one job. It keeps the beginning; the output keeps the end."""

PART_LIMIT = 256 * 1024
"""Bytes that one reading returns."""

_LAST_PIECES = dt.timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPart:
    """The text of a log from byte `offset` to byte `next`. `complete`: there is none beyond, and there will be none."""

    job: Job
    offset: int
    next: int
    text: str
    complete: bool
    exit_code: int | None


def append_log(*, agent_id: str, job_id: str, offset: int, text: str) -> int:
    """Keep a piece of a job's log; return the byte from which the agent goes on.

    Bytes that are stored already are skipped. A piece that would leave a gap is not stored; the returned offset shows
    it. Raises NotFound for a job that this agent does not have or that ended long ago, JobNotFound for one that it did
    not begin, InvalidRequest where `offset` cuts a character, TooLarge where the log is full.
    """
    with named_transaction("log"):
        now = database_now()
        job = lock_jobs({job_id} if is_id(job_id) else ()).get(job_id)
        if job is None or job.agent_id != agent_id or _ended_before(job, now - dt.timedelta(days=LATE_DAYS)):
            raise NotFound
        if job.status == JobStatus.QUEUING or job.sent_at is None:
            raise JobNotFound
        kept = _size(job_id)
        if offset > kept:
            return kept
        piece = text.encode()[kept - offset :]
        if not piece:
            return kept
        if kept + len(piece) > LOG_LIMIT:
            raise TooLarge(params={"limit": LOG_LIMIT})
        JobLogChunk.objects.create(job=job, offset=kept, size_bytes=len(piece), text=_whole(piece), created_at=now)
        ring("job", job_id)
        return kept + len(piece)


def read_log(*, owner_id: str, job_id: str, offset: int) -> LogPart:
    """Return a part of the log of one of the owner's jobs. A job without one has its output for a log, after its end.

    Raises NotFound, and InvalidRequest where `offset` is beyond the end or cuts a character.
    """
    job = Job.objects.filter(owner_id=owner_id, pk=job_id).first() if is_id(job_id) else None
    if job is None:
        raise NotFound
    output = JobOutput.objects.filter(pk=job.pk).first()
    size = _size(job.pk)
    promised = output.log_size if output else None
    last_pieces_over = _ended_before(job, database_now() - _LAST_PIECES)
    if not size and output and (promised is None or (promised and last_pieces_over)):
        text_bytes = output.text.encode()
        size, data = len(text_bytes), text_bytes[offset : offset + PART_LIMIT + 3]
    else:
        data = _bytes_from(job.pk, offset)
    if offset > size:
        raise InvalidRequest(_("The log has %(size)s bytes until now."), params={"size": size})
    text = _part(data)
    after = offset + len(text.encode())
    done = job.is_terminal and (size >= (promised or 0) or last_pieces_over)
    return LogPart(
        job=job,
        offset=offset,
        next=after,
        text=text,
        complete=done and after >= size,
        exit_code=output.exit_code if output else None,
    )


def read_tail(job_id: str, *, pieces: int = 20, characters: int = 16_384) -> str:
    """Return the last of what a job has printed until now, for a page that follows it."""
    rows = JobLogChunk.objects.filter(job_id=job_id).order_by("-offset").values_list("text", flat=True)[:pieces]
    return "".join(reversed(rows))[-characters:]


def _size(job_id: str) -> int:
    last = JobLogChunk.objects.filter(job_id=job_id).order_by("-offset").values_list("offset", "size_bytes").first()
    return sum(last) if last else 0


def _bytes_from(job_id: str, offset: int) -> bytes:
    """Return the kept bytes from `offset` on, a few more than one part at most."""
    chunks = JobLogChunk.objects.filter(job_id=job_id)
    first = chunks.filter(offset__lte=offset).order_by("-offset").values_list("offset", flat=True).first() or 0
    data = b""
    for piece in chunks.filter(offset__gte=first).order_by("offset").values_list("text", flat=True).iterator():
        data += piece.encode()
        if len(data) > offset - first + PART_LIMIT:
            break
    return data[offset - first :]


def _part(data: bytes) -> str:
    """Return the text of at most PART_LIMIT bytes, cut between characters."""
    if data[:1] and data[0] & 0xC0 == 0x80:
        raise InvalidRequest(_("offset cuts a character."))
    return data[:PART_LIMIT].decode(errors="ignore")


def _whole(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(_("offset cuts a character.")) from error


def _ended_before(job: Job, moment: dt.datetime) -> bool:
    ends = [at for at in (job.succeeded_at, job.failed_at, job.expired_at, job.canceled_at) if at is not None]
    return job.is_terminal and bool(ends) and max(ends) < moment
