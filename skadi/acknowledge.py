"""Ask the server whether a job that was written down may start: the acknowledgement of protocol 2.

Nothing starts without a yes. As long as no definite answer comes, the question is repeated: the server may have taken
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
from skadi.log import log
from skadi.runner import Job

REQUEST_SECONDS = 10.0
NOT_FINAL = (401, 403, 408, 425, 429)


class Verdict(Enum):
    """What came of asking."""

    YES = "the server counts on us: start it"
    NO = "it is not ours any more"
    CANCELED = "its owner took it back"
    UNKNOWN = "the agent stops, and the server may have taken the acknowledgement"
    UNASKED = "the agent stops, and the server was not asked"


@dataclass(frozen=True)
class Answer:
    """The verdict, and whether the server may have taken an earlier acknowledgement."""

    verdict: Verdict
    repeated: bool


def ask(job: Job, get_client: Callable[[], Client], stopping: threading.Event) -> Answer:
    """Ask until a definite answer comes or the agent stops. Waits as long as it takes."""
    body: dict[str, Any] = {"result": ""}
    if job.offer is not None:
        body.update(job.claim(), ack=True)
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
            verdict = _verdict(reply)
            if verdict is not None:
                if verdict is not Verdict.YES:
                    log.warning(
                        "job dropped", extra={"job": job.id, "status": reply.status, "error": reply.error_code()}
                    )
                return Answer(verdict, failures > 0)
            log.warning("job not acknowledged yet", extra={"job": job.id, "status": reply.status})
            retry_after = reply.retry_after(pace.LONGEST_RETRY_AFTER)
        failures += 1
        delay = pace.back_off(failures, job.ack_seconds / 6)
        stopping.wait(delay if retry_after is None else retry_after)
    return Answer(Verdict.UNKNOWN if failures else Verdict.UNASKED, failures > 0)


def _verdict(reply: Reply) -> Verdict | None:
    """None when the answer settles nothing."""
    if 200 <= reply.status < 300:
        return Verdict.YES
    if reply.status == 409 and reply.error_code() == "JobCanceled":
        return Verdict.CANCELED
    if 400 <= reply.status < 500 and reply.status not in NOT_FINAL:
        return Verdict.NO
    return None
