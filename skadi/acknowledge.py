"""Ask the server whether a job that was written down may start: the acknowledgement of protocol 2.

Nothing starts without a yes. As long as no definite answer comes, the question is retried: the server may have taken
an acknowledgement whose answer was lost, and then counts on the job being run.
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
    """What came of asking."""

    ACCEPTED = "the server counts on us: start it"
    REJECTED = "it is not ours any more"
    CANCELED = "its owner took it back"
    UNKNOWN = "the agent stops, and the server may have taken the acknowledgement"
    NOT_SENT = "the agent stops, and the server was not asked"


@dataclass(frozen=True)
class Acknowledgement:
    """The status, and whether the server may have taken an earlier acknowledgement."""

    status: AckStatus
    retried: bool


def acknowledge(job: Job, get_client: Callable[[], Client], stopping: threading.Event) -> Acknowledgement:
    """Ask until a definite answer comes or the agent stops. Waits as long as it takes."""
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
    """None when the answer settles nothing."""
    if 200 <= reply.status < 300:
        return AckStatus.ACCEPTED
    if reply.status == 409 and reply.error_code() == "JobCanceled":
        return AckStatus.CANCELED
    if 400 <= reply.status < 500 and reply.status not in NOT_FINAL:
        return AckStatus.REJECTED
    return None
