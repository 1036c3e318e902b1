"""Acknowledge a stored job to the server, under protocol 2. The job starts only after the server accepts that.

The request is retried until a definite answer comes: the server may have taken an acknowledgement whose answer was
lost, and then it expects the job to run.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum
from typing import Any, Callable

from skadi import pace
from skadi.client import Client, Reply, Unreachable
from skadi.failpoints import reach
from skadi.job import Job
from skadi.log import log

REQUEST_SECONDS = 10.0
NOT_FINAL = (401, 403, 408, 425, 429)


class AckStatus(Enum):
    """The result of an acknowledgement."""

    ACCEPTED = "the server lets the job start"
    REJECTED = "the server does not let it start: drop it"
    CANCELED = "its owner has canceled it"
    UNKNOWN = "the agent stops; the server may have taken an acknowledgement"
    NOT_SENT = "the agent stops before any attempt"


@dataclass(frozen=True)
class Acknowledgement:
    """The status; `retried` says whether the server may have taken an earlier acknowledgement."""

    status: AckStatus
    retried: bool


def acknowledge(job: Job, get_client: Callable[[], Client], stopping: threading.Event) -> Acknowledgement:
    """Acknowledge a job, with retries until a definite answer comes or the agent stops.

    May block without limit. It returns UNKNOWN or NOT_SENT only if `stopping` is set.
    """
    body: dict[str, Any] = {"result": ""}
    if job.offer is not None:
        body.update(job.offer_fields(), ack=True)
    failures = 0
    while not stopping.is_set():
        retry_after = None
        try:
            reach("ack.before_send")
            reply = get_client().request("PUT", f"/agent/jobs/{job.id}/running", body, seconds=REQUEST_SECONDS)
            reach("ack.after_answer")
        except Unreachable as error:
            log.warning("job not acknowledged yet", extra={"job": job.id, "error": str(error)})
        else:
            status = _read_status(reply)
            if status is not None:
                if status is not AckStatus.ACCEPTED:
                    log.warning(
                        "job dropped", extra={"job": job.id, "status": reply.status, "error": reply.error_code()}
                    )
                return Acknowledgement(status, failures > 0)
            log.warning("job not acknowledged yet", extra={"job": job.id, "status": reply.status})
            retry_after = reply.retry_after(pace.LONGEST_RETRY_AFTER)
        failures += 1
        delay = pace.back_off(failures, job.ack_seconds / 6)
        stopping.wait(delay if retry_after is None else retry_after)
    return Acknowledgement(AckStatus.UNKNOWN if failures else AckStatus.NOT_SENT, failures > 0)


def _read_status(reply: Reply) -> AckStatus | None:
    """Return the status, or None if the job must be acknowledged again."""
    if 200 <= reply.status < 300:
        return AckStatus.ACCEPTED
    if reply.status == 409 and reply.error_code() == "JobCanceled":
        return AckStatus.CANCELED
    if 400 <= reply.status < 500 and reply.status not in NOT_FINAL:
        return AckStatus.REJECTED
    return None
