"""Run jobs one at a time, in the order of arrival: acknowledge, decide, run, report. The journal has each step first.

The executor's thread starts the shims and must live as long as the agent: the kernel's parent-death signal, which ends
a shim under a development supervisor, is tied to the thread that started it.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any, Callable

from skadi import runner
from skadi.acknowledge import AckStatus, acknowledge
from skadi.active_jobs import ActiveJobs
from skadi.client import Client
from skadi.config import CurrentConfig
from skadi.job import Job
from skadi.journal import Journal
from skadi.log import log
from skadi.match import DirectAnswer, decide
from skadi.recovery import Leftovers
from skadi.report_writer import ReportWriter
from skadi.reporter import Reporter
from skadi.spool import Spool

CONCURRENCY = 1


class Executor:
    """The thread that runs jobs. `slots` is free if another job could start at once."""

    def __init__(
        self,
        *,
        journal: Journal,
        active: ActiveJobs,
        writer: ReportWriter,
        reporter: Reporter,
        spool: Spool,
        current: CurrentConfig,
        get_client: Callable[[], Client],
        stopping: threading.Event,
        on_acknowledged: Callable[[Job], None],
        on_idle: Callable[[], None],
    ) -> None:
        """`on_acknowledged` gets each job that the server counts on; `on_idle` is called when a slot is free again."""
        self.journal = journal
        self.active = active
        self.writer = writer
        self.reporter = reporter
        self.spool = spool
        self.current = current
        self.get_client = get_client
        self.stopping = stopping
        self.on_acknowledged = on_acknowledged
        self.on_idle = on_idle
        self.slots = threading.Semaphore(CONCURRENCY)
        self.start_dir = os.getcwd()
        self._queue: queue.SimpleQueue[Job | Leftovers] = queue.SimpleQueue()

    def submit(self, work: Job | Leftovers) -> None:
        """Enqueue work. The caller has acquired a slot for it, which the executor releases."""
        self.active.add(_job_ids(work))
        self._queue.put(work)

    def take_up(self, leftovers: Leftovers) -> None:
        """Enqueue what the last run left, in front of everything else. Call it once, before the threads start."""
        if leftovers.running or leftovers.unstarted:
            self.slots.acquire()
            self.submit(leftovers)

    def run(self) -> None:
        """Run the thread. It never returns."""
        while True:
            work = self._queue.get()
            try:
                self._handle(work)
                self.spool.trim()
            except Exception:
                log.exception("the executor failed, it goes on", extra={"jobs": ",".join(_job_ids(work))})
            finally:
                self.active.remove(_job_ids(work))
                self.slots.release()
                self.on_idle()

    def _handle(self, work: Job | Leftovers) -> None:
        if isinstance(work, Job):
            self._guard(work, self._start)
            return
        for job in work.running:
            self._guard(job, self._adopt)
        for job in work.unstarted:
            self._guard(job, self._start_again)

    def _guard(self, job: Job, step: Callable[[Job], None]) -> None:
        """Take a job through a step to its report. An error in it becomes the report, so that the next job runs."""
        try:
            step(job)
        except (OSError, KeyError) as error:
            log.error("job cannot run", extra={"job": job.id, "error": str(error)})
            self.writer.report_text(job, f"run command failed, the agent cannot start it: {error} : ", ok=False)
        except Exception as error:
            log.exception("job failed in the agent", extra={"job": job.id})
            name = type(error).__name__
            self.writer.report_text(job, f"run command failed, fault of the agent: {name} : ", ok=False)

    def _start(self, job: Job) -> None:
        # Protocol 1 knows no acknowledgement: its server counts on every job that it hands out.
        if job.offer is None or self._acknowledge(job, was_stored=False):
            self._decide_and_run(job)

    def _start_again(self, job: Job) -> None:
        """Start a job that the last run stored: the server may already count on it."""
        if self._acknowledge(job, was_stored=True):
            self._decide_and_run(job)

    def _acknowledge(self, job: Job, was_stored: bool) -> bool:
        """Return whether the server lets the job start; if not, do what that means for it. Raises OSError."""
        ack = acknowledge(job, self.get_client, self.stopping)
        if ack.status is AckStatus.ACCEPTED:
            self.journal.set_state(job.id, "acked")
            self.on_acknowledged(job)
            return True
        if ack.status is AckStatus.UNKNOWN or (ack.status is AckStatus.NOT_SENT and was_stored):
            return False  # the next start of the agent acknowledges it again
        if was_stored and not self.journal.block_start(job.id):
            self._adopt(job)  # the last agent's shim was only slow
        elif ack.status is AckStatus.CANCELED and (was_stored or ack.retried):
            # The server may have taken an earlier acknowledgement: then it waits for a report.
            self.writer.report_run(job, canceled=True)
        else:
            self.journal.discard(job.id)
        return False

    def _decide_and_run(self, job: Job) -> None:
        began = time.monotonic()
        config = self.current.config
        log.info("job received", extra={"job": job.id, **({"text": job.message} if config.log_messages else {})})
        decision = decide(config, job.message, job.argv)
        if isinstance(decision, DirectAnswer):
            self.writer.report_text(job, decision.text, decision.ok)
            return
        name = decision.entry.name
        if decision.entry.confirm and not job.confirmed:
            self.writer.report_confirmation(job, name)
            return
        fields = runner.shim_fields(decision, job, config.defaults, self.start_dir)
        self.journal.set_state(job.id, "started", **fields)
        end = self._run_command(job)
        self.writer.report_run(job, end, self.active.is_canceled(job.id))
        log.info("job ended", extra={"job": job.id, "entry": name, "seconds": "%.1f" % (time.monotonic() - began)})

    def _run_command(self, job: Job) -> dict[str, Any] | None:
        """Run the command of a job to its end; return the content of `exit.json` if the shim could not write it."""
        process = self.active.start_shim(job.id)
        if process is None:
            return None
        try:
            self.reporter.keep_alive(job.id)
            code, end = runner.wait_for_shim(process)
        finally:
            self.active.shim_ended()
        if code == runner.ALREADY_RUN:
            self._wait_for_adopted(job)  # a shim of the last agent has the folder
        return end

    def _adopt(self, job: Job) -> None:
        """Take over a command that the last run of the agent has started, and report its end."""
        log.info("job adopted", extra={"job": job.id})
        self.on_acknowledged(job)
        self._wait_for_adopted(job)
        self.writer.report_run(job, canceled=self.active.is_canceled(job.id))

    def _wait_for_adopted(self, job: Job) -> None:
        self.active.adopt_shim(job.id)
        try:
            if self.journal.has_file(job.id, "cancel"):
                runner.stop_adopted(self.journal, job.id)  # the agent may have died before it sent the signal
            runner.wait_for_adopted(self.journal, job.id)
        finally:
            self.active.shim_ended()


def _job_ids(work: Job | Leftovers) -> list[str]:
    return [job.id for job in ([work] if isinstance(work, Job) else [*work.running, *work.unstarted])]
