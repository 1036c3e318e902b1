"""Poll the server for jobs and hand them to the executor. No answer of the server can end the poller."""

from __future__ import annotations

import threading
import time
from typing import Callable

from skadi import pace
from skadi.active_jobs import ActiveJobs
from skadi.beat import Beat
from skadi.client import CUT_STATUSES, Client, Reply, Unreachable
from skadi.executor import Executor
from skadi.job import Job, job_to_store, read_job
from skadi.journal import Journal, Stage
from skadi.log import log
from skadi.reporter import Reporter
from skadi.spool import Spool
from skadi.whoami import ask_who_am_i, read_identity

READ_MARGIN = 10.0
SLOT_LOOK_SECONDS = 1.0
ROOM_LOOK_SECONDS = 10.0
OFFERED_AGAIN_KEPT = 10_000
NOT_NOW = (408, 429, 502, 503, 504)


class Poller:
    """The poller's thread. `on_refused` is called if the server refuses a token that it never accepted."""

    def __init__(
        self,
        *,
        journal: Journal,
        executor: Executor,
        active: ActiveJobs,
        reporter: Reporter,
        beat: Beat,
        spool: Spool,
        get_client: Callable[[], Client],
        stopping: threading.Event,
        on_refused: Callable[[], None],
    ) -> None:
        self.journal = journal
        self.executor = executor
        self.active = active
        self.reporter = reporter
        self.beat = beat
        self.spool = spool
        self.get_client = get_client
        self.on_refused = on_refused
        self.pace = pace.PollPace()
        self.stopping = stopping
        self.first_poll = True
        self.introduced = False
        self.connected = False
        self.reports_wait = False
        self.offered_again: set[str] = set()

    def introduce_again(self) -> None:
        """Ask the server for our identity again, after a reload has changed the server or the token."""
        self.first_poll = self.introduced = False

    def run(self) -> None:
        """Run the thread until `stopping` is set. It polls only while a slot is free, because a claimed job has a
        lease.
        """
        while not self.stopping.is_set():
            try:
                delay = self._step()
            except Exception:
                log.exception("poll failed, polling goes on")
                delay = self.pace.after_failure(None)
            self.stopping.wait(delay)

    def _step(self) -> float:
        """Do the next step: introduce us, wait for a slot, or poll. Return the seconds to wait before the next step."""
        if not self.introduced:
            return self._introduce()
        if not self.executor.slots.acquire(timeout=SLOT_LOOK_SECONDS):
            return 0.0
        job, delay = None, 0.0
        try:
            has_room = self.spool.check_room() and self._has_few_reports()
            self.beat.replace_polls(not has_room)
            job, delay = self._poll() if has_room else (None, ROOM_LOOK_SECONDS)
        finally:
            if job is None:
                self.executor.slots.release()
        if job is not None:
            # Also while the agent stops: a server of protocol 1 would not offer it again.
            self.executor.submit(job)
        return delay

    def _has_few_reports(self) -> bool:
        """Return whether more jobs may be taken. Log each change of that."""
        has_few = self.reporter.has_room()
        if self.reports_wait == has_few:
            self.reports_wait = not has_few
            if has_few:
                log.info("the server takes reports again, jobs are taken")
            else:
                log.error("no jobs are taken: too many reports wait for the server")
        return has_few

    def _introduce(self) -> float:
        """Ask the server for our identity. Return the seconds to wait before the next step.

        An old server answers 404. Then the first poll shows whether it accepts the token.
        """
        self.connected = False
        client = self.get_client()
        try:
            reply = ask_who_am_i(client)
        except Unreachable as error:
            if self.stopping.is_set() or self.get_client() is not client:
                return 0.0
            log.warning(
                "server not reached, trying again: check `server:` and the network",
                extra={"server": client.server, "error": str(error)},
            )
            return self.pace.after_failure(None)
        if reply.status == 401:
            return self._token_refused(client.token)
        if reply.status in NOT_NOW:
            log.warning("server not ready, trying again", extra={"status": reply.status, "error": reply.error_code()})
            return self.pace.after_failure(reply.retry_after(pace.LONGEST_RETRY_AFTER))
        self.introduced = True
        identity = read_identity(reply)
        if identity is not None:
            self._token_accepted(client, reply, f" as {identity}")
        return 0.0

    def _poll(self) -> tuple[Job | None, float]:
        """Poll. Return a job or None, and the seconds to wait before the next step."""
        client = self.get_client()
        # The first poll is not held, so that the token is accepted or refused at once.
        hold = 0 if self.first_poll else self.pace.next_hold(time.monotonic())
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
        return self._handle_reply(reply, client, time.monotonic() - began)

    def _handle_reply(self, reply: Reply, client: Client, elapsed: float) -> tuple[Job | None, float]:
        if reply.status == 401:
            return None, self._token_refused(client.token)
        if reply.status == 200:
            return self._take_offer(reply, client)
        if reply.status == 204:
            was_first = self.first_poll
            self._token_accepted(client, reply)
            return None, 0.0 if was_first else self.pace.after_no_job(elapsed)
        log.warning("unexpected answer to the poll", extra={"status": reply.status, "error": reply.error_code()})
        retry_after = reply.retry_after(pace.LONGEST_RETRY_AFTER)
        if reply.status in CUT_STATUSES and retry_after is None:
            return None, self.pace.after_cut(elapsed, time.monotonic())
        return None, self.pace.after_failure(retry_after)

    def _take_offer(self, reply: Reply, client: Client) -> tuple[Job | None, float]:
        """Take the job of an answer, if it is a valid one, and store it."""
        job = read_job(reply.json())
        if job is None:
            log.warning("the server sent an invalid job")
            return None, self.pace.after_failure(None)
        self._token_accepted(client, reply)
        try:
            if not self._store(job):
                return None, self._after_offer_again(job.id)
        except OSError as error:
            log.error("job cannot be stored", extra={"job": job.id, "error": str(error)})
            if job.offer is None:  # otherwise the server offers it again, because it is not acknowledged
                text = f"the agent cannot store the job: {error.strerror}"
                self.reporter.add(job.id, {"kind": "fail", "body": {"result": text}})
            return None, self.pace.after_failure(None)
        return job, self.pace.after_success()

    def _store(self, job: Job) -> bool:
        """Store a job that may start. Return False if this agent has had it before. Raises OSError."""
        stage = self.journal.stage(job.id)
        if job.id not in self.journal.done:
            if stage is Stage.ABSENT:
                self.journal.receive(job.id, job_to_store(job))
                return True
            if stage is Stage.UNSTARTED and not self.active.holds(job.id):
                self.journal.set_state(job.id, "received", **job_to_store(job))
                return True
        log.warning("job was handed out before, not run again", extra={"job": job.id, "stage": stage.name})
        report = self.journal.read(job.id, "report.json")
        if report is not None:  # the server waits for this report
            self.reporter.add(job.id, report)
        return False

    def _after_offer_again(self, job_id: str) -> float:
        """Return the pause after a job that we have had before. A restored server offers each again, so the first is
        0.
        """
        if job_id in self.offered_again:
            return self.pace.after_failure(None)
        if len(self.offered_again) >= OFFERED_AGAIN_KEPT:
            self.offered_again.clear()
        self.offered_again.add(job_id)
        return self.pace.after_success()

    def _token_accepted(self, client: Client, reply: Reply, identity: str = "") -> None:
        """Note that the server accepts the token. `identity` is "" or words for the log."""
        if self.pace.failures:
            self.reporter.retry_soon()
        if not self.connected:
            self.connected = True
            log.info("connected to %s%s, protocol %d", client.server, identity, reply.protocol())
        if self.first_poll:
            self.first_poll = False
            try:
                self.journal.remember_token(client.token)
            except OSError as error:
                log.warning("state cannot be written", extra={"error": str(error)})

    def _token_refused(self, token: str) -> float:
        """Return the pause after 401. It ends the agent if the token never worked; otherwise the server may recover."""
        if self.first_poll and not self.journal.token_worked(token):
            self.on_refused()
        else:
            log.error(
                "server refuses the token, trying again later. A new one from the agent's page is set by: skadi TOKEN",
                extra={"seconds": pace.REFUSED_RETRY},
            )
        return pace.REFUSED_RETRY
