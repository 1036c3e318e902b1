"""The beat: one held request that renews the leases of our jobs and returns the ids of canceled ones.

Beats go on while the server waits for the report of an acknowledged job, and while the agent does not poll, so that it
does not show as offline. An old server does not know the call. There the reporter's heartbeats keep the leases, and a
cancel arrives only as their answer.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

from skadi import __version__, pace
from skadi.client import CUT_STATUSES, Client, Reply, Unreachable
from skadi.failpoints import reach
from skadi.job import Job
from skadi.log import log

LONGEST_HOLD = 25.0
SHORTEST_HOLD = 1.0
MOST_MARGIN = 10.0
LEAST_MARGIN = 2.0
UNSUPPORTED_RETRY = 240.0
UNSUPPORTED_STATUSES = (404, 405, 501)


class Beat:
    """The beat's thread. Any thread may call the methods except `run`. `on_cancel` may get the same id several
    times.
    """

    def __init__(self, get_client: Callable[[], Client], on_cancel: Callable[[str], None]) -> None:
        self.get_client = get_client
        self.on_cancel = on_cancel
        self.jobs: dict[str, Job] = {}
        self.without_jobs = False
        self.changed = threading.Condition()
        self.has_new_job = False  # the request in flight does not name the newest job
        self.held_client: Client | None = None
        self.server_lease: float | None = None
        self.pace = pace.PollPace()
        self.unsupported = False

    def add(self, job: Job) -> None:
        """Renew the lease of a job from now on. A job of protocol 1 has no lease and is ignored."""
        with self.changed:
            if job.offer is None or job.id in self.jobs:
                return
            self.jobs[job.id] = job
            self.has_new_job = True
            if self.held_client is not None:
                self.held_client.interrupt()
            self.changed.notify()

    def forget(self, job_id: str) -> None:
        """Stop renewing the lease of a job: the server has its report, or gave the job to another agent."""
        with self.changed:
            self.jobs.pop(job_id, None)

    def replace_polls(self, wanted: bool) -> None:
        """Send beats without jobs too (or not any more), because the agent does not poll."""
        with self.changed:
            if wanted != self.without_jobs:
                self.without_jobs = wanted
                self.changed.notify()

    def run(self) -> None:
        """Run the thread. It never returns."""
        while True:
            with self.changed:
                while not self.jobs and not self.without_jobs:
                    self.changed.wait()
            try:
                delay = self._beat()
            except Exception:
                with self.changed:
                    self.has_new_job = False  # otherwise the pause would end at once, again and again
                    job_ids = ",".join(self.jobs)
                log.exception("beat failed, beats go on", extra={"jobs": job_ids})
                delay = self._retry_delay(False, 0.0, None)
            self._pause(delay)

    def lease(self) -> float:
        """Return the lease in seconds: the server's last answer, or the shortest lease of the jobs."""
        if self.server_lease is not None:
            return self.server_lease
        with self.changed:
            return min((job.lease_seconds for job in self.jobs.values()), default=Job.lease_seconds)

    def _pause(self, seconds: float) -> None:
        """Wait, or return at once if a new job needs a beat."""
        with self.changed:
            self.changed.wait_for(lambda: self.has_new_job, seconds)

    def _beat(self) -> float:
        """Send one beat. Return the seconds to wait before the next."""
        lease = self.lease()
        hold = int(max(SHORTEST_HOLD, min(LONGEST_HOLD, lease / 3, self.pace.next_hold(time.monotonic()))))
        client = self.get_client()
        with self.changed:
            self.has_new_job = False
            self.held_client = client
            running = [{"id": job.id, "attempt": job.attempt} for job in self.jobs.values()]
        began = time.monotonic()
        try:
            reach("beat.before_send")
            reply = client.request(
                "POST",
                f"/agent/beat?wait={hold}",
                {"running": running, "v": __version__},
                seconds=hold + max(LEAST_MARGIN, min(MOST_MARGIN, lease / 6)),
            )
            reach("beat.after_answer")
        except Unreachable as error:
            if self.has_new_job or self.get_client() is not client:
                return 0.0
            log.warning("beat not delivered", extra={"error": str(error)})
            return self._retry_delay(error.cut, time.monotonic() - began, None)
        finally:
            with self.changed:
                self.held_client = None
        return self._handle_reply(reply, hold, time.monotonic() - began)

    def _handle_reply(self, reply: Reply, hold: int, elapsed: float) -> float:
        if reply.status in UNSUPPORTED_STATUSES and reply.protocol() == 1:
            if not self.unsupported:
                log.warning("the server does not support beats", extra={"status": reply.status})
            self.unsupported = True
            return UNSUPPORTED_RETRY
        body: Any = reply.json()
        if reply.status != 200 or not isinstance(body, dict):
            log.warning("unexpected answer to the beat", extra={"status": reply.status, "error": reply.error_code()})
            return self._retry_delay(reply.status in CUT_STATUSES, elapsed, reply.retry_after(self.lease() / 3))
        self.unsupported = False
        self.pace.after_success()
        lease = body.get("lease_s")
        if isinstance(lease, (int, float)) and not isinstance(lease, bool) and 0 < lease < 1e6:
            self.server_lease = float(lease)
        cancel = body.get("cancel")
        for job_id in cancel if isinstance(cancel, list) else []:
            if isinstance(job_id, str):
                self.on_cancel(job_id)
        # An early answer either repeats cancels that we have, or comes from a server that does not hold. Do not
        # hurry.
        return max(0.0, hold - elapsed) if elapsed < hold / 2 or cancel else 0.0

    def _retry_delay(self, cut: bool, elapsed: float, retry_after: float | None) -> float:
        """Return a pause that is shorter than the poller's: the leases would expire during a long one."""
        delay = self.pace.after_cut(elapsed, time.monotonic()) if cut else self.pace.after_failure(retry_after)
        return min(delay, self.lease() / 6) if retry_after is None else min(delay, self.lease() / 3)
