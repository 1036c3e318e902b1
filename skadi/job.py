"""A job as the server hands it out, and as `job.json` keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skadi import shim
from skadi.journal import JOB_ID

MOST_WORDS = 64


@dataclass(frozen=True)
class Job:
    """What the server handed out. `offer` is None under protocol 1, which knows no acknowledgement and no beat.

    `argv` are the words of a job that is no text, empty where they make no sense; None where `message` is all there is.
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
        """What tells the server which hand-out of the job is meant; nothing under protocol 1."""
        return {} if self.offer is None else {"attempt": self.attempt, "offer": self.offer}


def read_job(body: Any) -> Job | None:
    """A job from the answer to a poll; None if it is none. Nothing is believed unchecked."""
    if not isinstance(body, dict):
        return None
    job_id, message = body.get("id"), body.get("message")
    if not isinstance(job_id, str) or not isinstance(message, str) or not JOB_ID.match(job_id):
        return None
    return Job(
        id=job_id,
        message=message,
        attempt=_count(body.get("attempt")) or Job.attempt,
        offer=_count(body.get("offer")),
        lease_seconds=_seconds(body.get("lease_s")) or Job.lease_seconds,
        ack_seconds=_seconds(body.get("ack_s")) or Job.ack_seconds,
        confirmed=_is_confirmed(body.get("params")),
        argv=_words(body.get("argv")),
    )


def _words(value: object) -> tuple[str, ...] | None:
    """The words of a job. What is there and cannot be read is not taken for a text: it matches nothing."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MOST_WORDS or not all(isinstance(word, str) for word in value):
        return ()
    return tuple(value)


def read_stored_job(content: dict[str, Any] | None) -> Job | None:
    """A job from `job.json`, where `argv` is what the shim is to run."""
    return None if content is None else read_job({**content, "argv": content.get("words")})


def _is_confirmed(params: object) -> bool:
    """Whether the owner was asked about this very job and said yes."""
    return isinstance(params, dict) and params.get("confirmed") is True


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e6 else None


def job_to_store(job: Job) -> dict[str, Any]:
    """The first content of `job.json`, from which `read_stored_job` makes the job again."""
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
