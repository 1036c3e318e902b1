"""One job at a time, in the order of arrival: decide, journal, run, report.

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
from skadi.config import Config
from skadi.journal import Journal
from skadi.log import log
from skadi.match import Answer, decide
from skadi.reporter import Reporter
from skadi.runner import Job

CONCURRENCY = 1
LOST = {"rc": None, "signal": None, "reason": "interrupted"}


class Leftovers:
    """Jobs whose shims were still at work when the agent started."""

    def __init__(self, job_ids: list[str]) -> None:
        self.job_ids = job_ids


class Executor:
    """Takes what the poller hands over. `slots` is free when another job could start at once."""

    def __init__(
        self, journal: Journal, reporter: Reporter, get_config: Callable[[], Config], on_idle: Callable[[], None]
    ) -> None:
        self.journal = journal
        self.reporter = reporter
        self.get_config = get_config
        self.on_idle = on_idle
        self.slots = threading.Semaphore(CONCURRENCY)
        self.work: queue.SimpleQueue[Job | Leftovers] = queue.SimpleQueue()
        self.start_dir = os.getcwd()
        self.agent_pid: int | None = None
        self.lock = threading.Lock()
        self.outstanding = 0
        self.canceling = False
        self.process: subprocess.Popen[bytes] | None = None
        self.current = ""

    def submit(self, item: Job | Leftovers) -> None:
        """Hand over work for a slot that the caller has taken."""
        with self.lock:
            self.outstanding += 1
        self.work.put(item)

    def idle(self) -> bool:
        with self.lock:
            return self.outstanding == 0

    def run(self) -> None:
        while True:
            item = self.work.get()
            try:
                if isinstance(item, Job):
                    self._job(item)
                else:
                    for job_id in item.job_ids:
                        self._adopt(job_id)
            finally:
                with self.lock:
                    self.outstanding -= 1
                self.slots.release()
                self.on_idle()

    def cancel(self) -> None:
        """End the running command's tree, and start none any more."""
        with self.lock:
            self.canceling = True
            process, current = self.process, self.current
        if process is not None:
            process.terminate()
        elif current:
            runner.stop_adopted(self.journal, current)

    def recover(self) -> None:
        """Take up what the last run of the agent left: unsent reports, ended commands, commands at work."""
        running = []
        for job_id in self.journal.job_ids():
            if self.journal.read(job_id, "delivered.json") is not None:
                continue
            report = self.journal.read(job_id, "report.json")
            if report is not None:
                self.reporter.add(job_id, report)
            elif self.journal.is_running(job_id):
                running.append(job_id)
            else:
                self._report_end(job_id)
        if running and self.slots.acquire(blocking=False):
            self.submit(Leftovers(running))

    def _adopt(self, job_id: str) -> None:
        log.info("job adopted", extra={"job": job_id})
        with self.lock:
            self.current = job_id
        self.reporter.keep_alive(job_id)
        runner.wait_for_adopted(self.journal, job_id)
        with self.lock:
            self.current = ""
        self._report_end(job_id)

    def _job(self, job: Job) -> None:
        """Run one job to its report. Whatever goes wrong here becomes the report, it never ends the thread."""
        began = time.monotonic()
        try:
            config = self.get_config()
            text = {"text": job.message} if config.log_messages else {}
            log.info("job received", extra={"job": job.id, **text})
            decision = decide(config, job.message)
            if isinstance(decision, Answer):
                self._report(job.id, result.report_of_answer(decision.text, decision.ok))
                return
            content = runner.job_file(decision, job, config.defaults, self.start_dir, self.agent_pid)
            self.journal.write(job.id, "job.json", content)
            self._run(job.id)
            self._report_end(job.id)
            log.info(
                "job ended",
                extra={"job": job.id, "entry": decision.entry.name, "seconds": "%.1f" % (time.monotonic() - began)},
            )
        except (OSError, KeyError) as error:
            log.error("job cannot run", extra={"job": job.id, "error": str(error)})
            self._report(
                job.id, result.report_of_answer(f"run command failed, the agent cannot start it: {error} : ", ok=False)
            )
        except Exception as error:
            log.exception("job failed in the agent", extra={"job": job.id})
            self._report(
                job.id,
                result.report_of_answer(f"run command failed, fault of the agent: {type(error).__name__} : ", ok=False),
            )

    def _run(self, job_id: str) -> None:
        with self.lock:
            if self.canceling:
                return
            process = self.process = runner.start_shim(self.journal.folder(job_id))
            self.current = job_id
        self.reporter.keep_alive(job_id)
        process.wait()
        with self.lock:
            self.process = None
            self.current = ""

    def _report_end(self, job_id: str) -> None:
        """Report what `exit.json` says; without one the command was interrupted, and what it printed is kept."""
        end: dict[str, Any] | None = self.journal.read(job_id, "exit.json")
        if end is None:
            log.warning("job has no end", extra={"job": job_id})
            end = LOST
        job = self.journal.read(job_id, "job.json") or {}
        timeout = job.get("timeout")
        seconds = float(timeout) if isinstance(timeout, (int, float)) else 0.0
        self._report(job_id, result.report_of_run(self.journal.folder(job_id), end, seconds))

    def _report(self, job_id: str, report: dict[str, Any]) -> None:
        report["created"] = time.time()
        try:
            self.journal.write(job_id, "report.json", report)
        except OSError as error:
            # Still delivered from memory: a full disk must not silence the agent.
            log.error("report cannot be stored", extra={"job": job_id, "error": str(error)})
        self.reporter.add(job_id, report)
