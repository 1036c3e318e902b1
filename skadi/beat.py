"""One held request that keeps the leases of our jobs and brings word of those whose owner wants them ended.

It goes on as long as there are acknowledged jobs whose report the server has not taken, and while the agent asks for no
jobs, so that it does not show as offline. A server that does not know the call keeps the leases by the reporter's signs
of life alone, and cannot send such word.
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
    """The loop. All but `run` may be called from any thread; `on_cancel` is called for each id, maybe again."""

    def __init__(self, get_client: Callable[[], Client], on_cancel: Callable[[str], None]) -> None:
        self.get_client = get_client
        self.on_cancel = on_cancel
        self.jobs: dict[str, Job] = {}
        self.without_jobs = False
        self.changed = threading.Condition()
        self.has_new_job = False  # a job came that the request on its way does not name
        self.held_client: Client | None = None
        self.server_lease: float | None = None
        self.pace = pace.PollPace()
        self.unsupported = False

    def add(self, job: Job) -> None:
        """Keep the lease of a job from now on."""
        with self.changed:
            if job.offer is None or job.id in self.jobs:
                return
            self.jobs[job.id] = job
            self.has_new_job = True
            if self.held_client is not None:
                self.held_client.interrupt()
            self.changed.notify()

    def forget(self, job_id: str) -> None:
        """The server took the report, or the job is not ours."""
        with self.changed:
            self.jobs.pop(job_id, None)

    def replace_polls(self, wanted: bool) -> None:
        """Whether to be heard without jobs too, because the agent asks for none."""
        with self.changed:
            if wanted != self.without_jobs:
                self.without_jobs = wanted
                self.changed.notify()

    def run(self) -> None:
        """Beat for ever; the body of a thread."""
        while True:
            with self.changed:
                while not self.jobs and not self.without_jobs:
                    self.changed.wait()
            try:
                delay = self._beat()
            except Exception:
                with self.changed:
                    self.has_new_job = False  # or the pause would end at once, again and again
                    job_ids = ",".join(self.jobs)
                log.exception("beat failed, beats go on", extra={"jobs": job_ids})
                delay = self._retry_delay(False, 0.0, None)
            self._pause(delay)

    def lease(self) -> float:
        """Seconds: what the server said last, else the shortest of what the jobs came with."""
        if self.server_lease is not None:
            return self.server_lease
        with self.changed:
            return min((job.lease_seconds for job in self.jobs.values()), default=Job.lease_seconds)

    def _pause(self, seconds: float) -> None:
        """Wait, but not when a new job has come."""
        with self.changed:
            self.changed.wait_for(lambda: self.has_new_job, seconds)

    def _beat(self) -> float:
        """One request; the time to wait before the next."""
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
                log.warning("server knows no beat", extra={"status": reply.status})
            self.unsupported = True
            return UNSUPPORTED_RETRY
        body: Any = reply.json()
        if reply.status != 200 or not isinstance(body, dict):
            log.warning("server has no answer to the beat", extra={"status": reply.status, "error": reply.error_code()})
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
        # Answered early: there is word that we have now, which would be sent again at once, or nothing is held here.
        return max(0.0, hold - elapsed) if elapsed < hold / 2 or cancel else 0.0

    def _retry_delay(self, cut: bool, elapsed: float, retry_after: float | None) -> float:
        """Not the pause that a poll would make: the leases run."""
        delay = self.pace.after_cut(elapsed, time.monotonic()) if cut else self.pace.after_failure(retry_after)
        return min(delay, self.lease() / 6) if retry_after is None else min(delay, self.lease() / 3)
