"""Ask the server for work, hand it over, and never fail for what it answers."""

from __future__ import annotations

import threading
import time
from typing import Callable

from skadi import pace
from skadi.client import Client, Reply, Unreachable
from skadi.executor import Executor
from skadi.journal import JOB_ID, Journal
from skadi.log import log
from skadi.reporter import Reporter
from skadi.runner import Job

READ_MARGIN = 10.0
SLOT_LOOK_SECONDS = 1.0
CUT_STATUSES = (408, 502, 504)


class Poller:
    """The loop that claims jobs. `on_refused` is called when the server refuses a token that never worked."""

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        reporter: Reporter,
        get_client: Callable[[], Client],
        on_refused: Callable[[], None],
    ) -> None:
        self.journal = journal
        self.executor = executor
        self.reporter = reporter
        self.get_client = get_client
        self.on_refused = on_refused
        self.pace = pace.PollPace()
        self.stopping = threading.Event()
        self.first = True

    def run(self) -> None:
        """Poll whenever a job could start at once: what is claimed has a lease that runs."""
        while not self.stopping.is_set():
            if not self.executor.slots.acquire(timeout=SLOT_LOOK_SECONDS):
                continue
            job, delay = None, 0.0
            try:
                job, delay = self._poll()
            finally:
                if job is None:
                    self.executor.slots.release()
            if job is not None:
                # Also while stopping: the server has given it away and would not give it to anybody again.
                self.executor.submit(job)
            self.stopping.wait(delay)

    def _poll(self) -> tuple[Job | None, float]:
        """One poll: a job or none, and the time to wait before the next."""
        client = self.get_client()
        # The first is not held, so that a good token is known and a bad one refused at once.
        hold = 0 if self.first else self.pace.asked(time.monotonic())
        began = time.monotonic()
        try:
            path = f"/agent/job?wait={hold}" if hold else "/agent/job"
            reply = client.request("GET", path, seconds=hold + READ_MARGIN)
        except Unreachable as error:
            if self.stopping.is_set() or self.get_client() is not client:
                return None, 0.0
            log.warning("server not reached", extra={"error": str(error)})
            elapsed = time.monotonic() - began
            return None, self.pace.after_cut(elapsed, time.monotonic()) if error.cut else self.pace.after_failure(None)
        return self._answered(reply, client, time.monotonic() - began)

    def _answered(self, reply: Reply, client: Client, elapsed: float) -> tuple[Job | None, float]:
        if reply.status == 401:
            return None, self._refused(client.token)
        if reply.status == 200:
            return self._offered(reply, client)
        if reply.status == 204:
            first = self.first
            self._worked(client.token)
            return None, 0.0 if first else self.pace.after_nothing(elapsed)
        log.warning("server has no answer to the poll", extra={"status": reply.status, "error": reply.error_code()})
        retry_after = reply.retry_after(pace.LONGEST_RETRY_AFTER)
        if reply.status in CUT_STATUSES and retry_after is None:
            return None, self.pace.after_cut(elapsed, time.monotonic())
        return None, self.pace.after_failure(retry_after)

    def _offered(self, reply: Reply, client: Client) -> tuple[Job | None, float]:
        """A job, if the answer is one: everything about it is checked before it is believed."""
        body = reply.json()
        job_id = body.get("id") if isinstance(body, dict) else None
        message = body.get("message") if isinstance(body, dict) else None
        if not isinstance(job_id, str) or not isinstance(message, str) or not JOB_ID.match(job_id):
            log.warning("server sent something that is no job")
            return None, self.pace.after_failure(None)
        self._worked(client.token)
        try:
            new = self.journal.claim(job_id)
        except OSError as error:
            log.error("job cannot be stored", extra={"job": job_id, "error": str(error)})
            text = f"the agent cannot store the job: {error.strerror}"
            self.reporter.add(job_id, {"kind": "fail", "body": {"result": text}})
            return None, self.pace.after_failure(None)
        if not new:
            self._seen_before(job_id)
            return None, self.pace.after_failure(None)
        return Job(job_id, message), self.pace.after_job()

    def _seen_before(self, job_id: str) -> None:
        """Never run again; if its end is known, that is what the server wants to hear."""
        log.warning("job was handed out before, not run again", extra={"job": job_id})
        report = self.journal.read(job_id, "report.json")
        if report is not None:
            self.reporter.add(job_id, report)

    def _worked(self, token: str) -> None:
        if self.pace.failures:
            self.reporter.hurry()
        if self.first:
            self.first = False
            log.info("server accepted the token")
            try:
                self.journal.remember_token(token)
            except OSError as error:
                log.warning("state cannot be written", extra={"error": str(error)})

    def _refused(self, token: str) -> float:
        """401: final at the first start; later a mishap of the server must not silence the agent for ever."""
        if self.first and not self.journal.token_worked(token):
            self.on_refused()
        else:
            log.error("server refuses the token, trying again later", extra={"seconds": pace.REFUSED_RETRY})
        return pace.REFUSED_RETRY
