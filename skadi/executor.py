"""One job at a time, in the order of arrival: acknowledge, decide, run, report. Each step is in the journal before it.

The thread that runs this starts the shims, and lives as long as the agent: the kernel's parent-death signal, which
ends a shim under a development supervisor, is tied to the thread.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
from typing import Any, Callable

from skadi import result, runner
from skadi.acknowledge import AckStatus, acknowledge
from skadi.beat import Beat
from skadi.client import Client
from skadi.config import Config
from skadi.failpoints import reach
from skadi.job import Job, read_stored_job
from skadi.journal import Journal, Stage
from skadi.log import log
from skadi.logpump import LogPump
from skadi.match import DirectAnswer, decide
from skadi.reporter import Reporter
from skadi.spool import Spool

CONCURRENCY = 1


class Leftovers:
    """What the last run of the agent left: jobs whose shims are at work, and jobs that were written down only."""

    def __init__(self, running: list[Job], unstarted: list[Job]) -> None:
        self.running = running
        self.unstarted = unstarted


class Executor:
    """Takes what the poller hands over. `slots` is free when another job could start at once."""

    def __init__(
        self,
        journal: Journal,
        reporter: Reporter,
        beat: Beat,
        pump: LogPump,
        spool: Spool,
        get_config: Callable[[], Config],
        get_client: Callable[[], Client],
        on_idle: Callable[[], None],
    ) -> None:
        self.journal = journal
        self.reporter = reporter
        self.beat = beat
        self.pump = pump
        self.spool = spool
        self.get_config = get_config
        self.get_client = get_client
        self.on_idle = on_idle
        self.stopping = threading.Event()
        self.slots = threading.Semaphore(CONCURRENCY)
        self.work: queue.SimpleQueue[Job | Leftovers] = queue.SimpleQueue()
        self.start_dir = os.getcwd()
        self.agent_pid: int | None = None
        self.lock = threading.Lock()
        self.outstanding: list[str] = []
        self.canceling = False
        self.canceled: set[str] = set()
        self.process: subprocess.Popen[bytes] | None = None
        self.current = ""

    def submit(self, item: Job | Leftovers) -> None:
        """Hand over work for a slot that the caller has taken."""
        with self.lock:
            self.outstanding += self._ids(item)
        self.work.put(item)

    def _ids(self, item: Job | Leftovers) -> list[str]:
        return [job.id for job in ([item] if isinstance(item, Job) else item.running + item.unstarted)]

    def idle(self) -> bool:
        """Whether nothing that was handed over is left to do."""
        with self.lock:
            return not self.outstanding

    def holds(self, job_id: str) -> bool:
        """Whether a job was handed over and is not over."""
        with self.lock:
            return job_id in self.outstanding

    def run(self) -> None:
        """Take one piece of work after the other; the body of a thread."""
        while True:
            item = self.work.get()
            try:
                if isinstance(item, Job):
                    self._job(item, known=False)
                else:
                    for job in item.running:
                        self._adopt(job)
                    for job in item.unstarted:
                        self._job(job, known=True)
                self.spool.trim()
            finally:
                with self.lock:
                    for job_id in self._ids(item):
                        self.outstanding.remove(job_id)
                        self.canceled.discard(job_id)
                self.slots.release()
                self.on_idle()

    def cancel(self) -> None:
        """End the running command's tree because the agent stops, and start none any more."""
        with self.lock:
            self.canceling = True
            process, current = self.process, self.current
        self._signal(process, current)

    def cancel_job(self, job_id: str) -> None:
        """End the tree of one job because its owner wants it; one that has not started does not start."""
        with self.lock:
            if job_id not in self.outstanding or job_id in self.canceled:
                return
            self.canceled.add(job_id)
            process, current = self.process, self.current
        log.info("job is canceled by its owner", extra={"job": job_id})
        try:
            reach("cancel.before_write")
            self.journal.write(job_id, "cancel", {"at": time.time()})  # the shim looks for it when it is signalled
            reach("cancel.after_write")
        except OSError as error:
            log.warning("cancel cannot be noted", extra={"job": job_id, "error": str(error)})
        if current == job_id:
            self._signal(process, current)

    def _signal(self, process: subprocess.Popen[bytes] | None, current: str) -> None:
        if process is not None:
            process.terminate()
        elif current:
            runner.stop_adopted(self.journal, current)

    def recover(self) -> None:
        """Take up what the last run of the agent left, by the stage each folder shows (docs/agent.md has the table)."""
        running, unstarted = [], []
        for job_id in self.journal.job_ids():
            stage = self.journal.stage(job_id)
            if stage is Stage.DELIVERED or job_id in self.journal.done:
                continue
            job = read_stored_job(self.journal.read(job_id, "job.json")) or Job(job_id, "")
            if stage is Stage.UNSTARTED:
                unstarted.append(job)
                continue
            self.beat.add(job)  # the server counts on it until it has the report
            if stage is Stage.REPORTED:
                self.reporter.add(job_id, self.journal.read(job_id, "report.json") or {})
            elif stage is Stage.RUNNING:
                running.append(job)
            else:
                self._report_end(job)
        self.spool.trim()
        if (running or unstarted) and self.slots.acquire(blocking=False):
            self.submit(Leftovers(running, unstarted))

    def _adopt(self, job: Job) -> None:
        log.info("job adopted", extra={"job": job.id})
        with self.lock:
            self.current = job.id
        self._taken(job)
        if self.journal.has_file(job.id, "cancel"):
            runner.stop_adopted(self.journal, job.id)  # the word may not have reached the shim
        runner.wait_for_adopted(self.journal, job.id)
        with self.lock:
            self.current = ""
        self._report_end(job)

    def _job(self, job: Job, known: bool) -> None:
        """Run one job to its report. Whatever goes wrong here becomes the report, it never ends the thread.

        `known`: from before a restart, so that the server may count on it already.
        """
        began = time.monotonic()
        try:
            if not self._may_start(job, known):
                return
            config = self.get_config()
            text = {"text": job.message} if config.log_messages else {}
            log.info("job received", extra={"job": job.id, **text})
            decision = decide(config, job.message, job.argv)
            if isinstance(decision, DirectAnswer):
                self._answer(job, decision.text, decision.ok)
                return
            if decision.entry.confirm and not job.confirmed:
                self._report(job, result.report_of_confirmation(decision.entry.name))
                return
            content = runner.shim_fields(decision, job, config.defaults, self.start_dir, self.agent_pid)
            self.journal.set_state(job.id, "started", **content)
            self._report_end(job, self._run(job))
            log.info(
                "job ended",
                extra={"job": job.id, "entry": decision.entry.name, "seconds": "%.1f" % (time.monotonic() - began)},
            )
        except (OSError, KeyError) as error:
            log.error("job cannot run", extra={"job": job.id, "error": str(error)})
            self._answer(job, f"run command failed, the agent cannot start it: {error} : ", ok=False)
        except Exception as error:
            log.exception("job failed in the agent", extra={"job": job.id})
            self._answer(job, f"run command failed, fault of the agent: {type(error).__name__} : ", ok=False)

    def _may_start(self, job: Job, known: bool) -> bool:
        """Acknowledge a job and note the yes; anything else ends it here. Raises OSError."""
        if job.offer is None and not known:
            return True
        ack = acknowledge(job, self.get_client, self.stopping)
        if ack.status is AckStatus.ACCEPTED:
            self.journal.set_state(job.id, "acked")
            self._taken(job)
            return True
        if ack.status is AckStatus.UNKNOWN or (ack.status is AckStatus.NOT_SENT and known):
            return False  # the next start asks again
        if known and not self.journal.block_start(job.id):
            self._adopt(job)  # the last agent's shim was only slow
        elif ack.status is AckStatus.CANCELED and (known or ack.retried):
            # An earlier acknowledgement may have been taken: then the server waits for a report.
            with self.lock:
                self.canceled.add(job.id)
            self._report_end(job)
        else:
            self.journal.discard(job.id)
        return False

    def _taken(self, job: Job) -> None:
        """The job is ours from here on, also after a restart: keep its lease, send what it prints."""
        self.beat.add(job)
        if job.offer is not None:
            self.pump.follow(job.id)

    def _run(self, job: Job) -> dict[str, Any] | None:
        """Run the command of a job; how it ended, where that could not be written down."""
        with self.lock:
            if self.canceling or job.id in self.canceled:
                return None
            process = self.process = runner.start_shim(self.journal.folder(job.id))
            self.current = job.id
        self.reporter.keep_alive(job.id)
        code, end = runner.wait_for_shim(process)
        if code == runner.ALREADY_RUN:
            with self.lock:
                self.process = None  # a shim of the last agent is at work: signals go to that one
            runner.wait_for_adopted(self.journal, job.id)
        with self.lock:
            self.process = None
            self.current = ""
        return end

    def _report_end(self, job: Job, unwritten: dict[str, Any] | None = None) -> None:
        """Report what `exit.json` says, or what it would say; else the command was interrupted, its output is kept."""
        end: dict[str, Any] | None = self.journal.read(job.id, "exit.json") or unwritten
        if end is None:
            log.warning("job has no end", extra={"job": job.id})
            end = {"rc": None, "signal": None, "reason": "interrupted"}
        with self.lock:
            canceled = job.id in self.canceled
        if end.get("reason") == "interrupted" and (canceled or self.journal.has_file(job.id, "cancel")):
            end = dict(end, reason="canceled")
        content = self.journal.read(job.id, "job.json") or {}
        timeout = content.get("timeout")
        seconds = float(timeout) if isinstance(timeout, (int, float)) else 0.0
        secrets, limit = self.pump.secrets(content), result.log_limit(content)
        self._report(job, result.report_of_run(self.journal.folder(job.id), end, seconds, secrets, limit))

    def _answer(self, job: Job, text: str, ok: bool) -> None:
        """Report what needed no program, or could not have one."""
        self._report(job, result.report_of_answer(text, ok, self.pump.secrets({})))

    def _report(self, job: Job, report: dict[str, Any]) -> None:
        report["created"] = time.time()
        body = report["body"]
        log_size = body.pop("log_size", None)
        if job.offer is not None:
            body.update(job.offer_fields(), **({} if log_size is None else {"log_size": log_size}))
        try:
            reach("report.before_write")
            self.journal.write(job.id, "report.json", report)
        except OSError as error:
            # Still delivered from memory: a full disk must not silence the agent.
            log.error("report cannot be stored", extra={"job": job.id, "error": str(error)})
        self.reporter.add(job.id, report)
