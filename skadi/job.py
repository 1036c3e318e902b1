"""A job, as the server sends it and as `job.json` stores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skadi import shim
from skadi.journal import JOB_ID
from skadi.safe_text import storable

MOST_WORDS = 64


@dataclass(frozen=True)
class Job:
    """One attempt of a job. `offer` is None under protocol 1, which has no acknowledgement and no beat.

    `argv` is None if the job is the text `message`. It is empty if the server sent words that cannot be read.
    """

    id: str
    message: str
    attempt: int = 1
    offer: int | None = None
    lease_seconds: float = 120.0
    ack_seconds: float = 30.0
    confirmed: bool = False
    argv: tuple[str, ...] | None = None

    def offer_fields(self) -> dict[str, int]:
        """Return the fields that name this offer of the job to the server; none under protocol 1."""
        return {} if self.offer is None else {"attempt": self.attempt, "offer": self.offer}


def read_job(body: Any) -> Job | None:
    """Read a job from the answer to a poll. Return None if it is not a valid one. Every field is checked."""
    if not isinstance(body, dict):
        return None
    job_id, message = body.get("id"), body.get("message")
    if not isinstance(job_id, str) or not isinstance(message, str) or not JOB_ID.match(job_id):
        return None
    argv = _words(body.get("argv"))
    if not _is_whole(message):  # it must not match any entry, and its answer must be stored
        message, argv = storable(message), ()
    return Job(
        id=job_id,
        message=message,
        attempt=_count(body.get("attempt")) or Job.attempt,
        offer=_count(body.get("offer")),
        lease_seconds=_seconds(body.get("lease_s")) or Job.lease_seconds,
        ack_seconds=_seconds(body.get("ack_s")) or Job.ack_seconds,
        confirmed=_is_confirmed(body.get("params")),
        argv=argv,
    )


def _words(value: object) -> tuple[str, ...] | None:
    """Read the words of a job. Invalid words become (), which matches no entry; the job is never read as text
    instead.
    """
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MOST_WORDS or not all(map(_is_whole, value)):
        return ()
    return tuple(value)


def _is_whole(value: object) -> bool:
    """Return whether a value is text without halves of characters."""
    return isinstance(value, str) and storable(value) == value


def read_stored_job(content: dict[str, Any] | None) -> Job | None:
    """Read a job from `job.json`, where `argv` is the shim's command and `words` is the job's own."""
    return None if content is None else read_job({**content, "argv": content.get("words")})


def _is_confirmed(params: object) -> bool:
    """Return whether the server says that the owner has confirmed this job.

    The agent cannot check that: the flag is the server's word, without a signature or a code of the owner. So `confirm`
    protects against mistakes and stolen tokens for jobs, but not against a server that lies.
    """
    return isinstance(params, dict) and params.get("confirmed") is True


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e6 else None


def job_to_store(job: Job) -> dict[str, Any]:
    """Return the first content of `job.json`; `read_stored_job` reads it back."""
    return {
        "id": job.id,
        "message": job.message,
        "attempt": job.attempt,
        "offer": job.offer,
        "lease_s": job.lease_seconds,
        "ack_s": job.ack_seconds,
        "params": {"confirmed": job.confirmed},
        "words": None if job.argv is None else list(job.argv),
        "received": shim.now_text(),
    }
