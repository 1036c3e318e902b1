"""The running agent: its parts, its threads, and how it stops.

Threads: the poller asks for jobs, the executor runs one job at a time through a shim, the reporter delivers reports,
the beat renews leases and receives cancels, the pump sends logs. The main thread waits for signals and watches the
others. All of them share the journal; every other object says which of its methods any thread may call.

A signal handler only puts a word into the mailbox (SimpleQueue.put is reentrant); `run` makes all decisions.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from functools import partial
from typing import Callable

from skadi import __version__
from skadi.active_jobs import ActiveJobs
from skadi.beat import Beat
from skadi.config import Config, ConfigError, CurrentConfig
from skadi.connections import Connections
from skadi.executor import Executor
from skadi.exit_codes import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from skadi.job import Job
from skadi.journal import Journal
from skadi.log import LineFormatter, log
from skadi.logpump import LogPump
from skadi.poller import Poller
from skadi.recovery import recover
from skadi.redaction import secrets_of_job
from skadi.report_writer import ReportWriter
from skadi.reporter import Reporter
from skadi.safe_text import one_line
from skadi.spool import Spool, free_floor_mb
from skadi.workers import Workers

TICK_SECONDS = 2.0
FINISH_SECONDS = 5.0
SWEEP_MARGIN = 8.0
SIGNAL_WORDS = {signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGHUP: "reload"}


class Agent:
    """One agent with its threads. Each part is built from parts that exist already."""

    def __init__(
        self, config: Config, journal: Journal, formatter: LineFormatter, load_config: Callable[[], Config]
    ) -> None:
        """`load_config` reads the configuration again, at SIGHUP. It raises ConfigError."""
        self.load_config = load_config
        self.formatter = formatter
        self.mailbox: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.stopping = threading.Event()
        self.current = CurrentConfig(config)
        self.connections = Connections(self.current, formatter)
        client_of = self.connections.getter
        secrets = partial(secrets_of_job, tokens=formatter.secrets)
        formatter.secrets.add(config.token)
        self.active = ActiveJobs(journal)
        self.beat = Beat(client_of("beat"), on_cancel=self.active.cancel)
        self.pump = LogPump(journal, client_of("pump"), secrets)
        self.reporter = Reporter(
            journal, client_of("reporter"), on_settled=self._report_settled, on_cancel=self.active.cancel
        )
        writer = ReportWriter(journal, self.reporter, secrets)
        spool = Spool(journal, free_floor_mb(os.environ))
        self.executor = Executor(
            journal=journal,
            active=self.active,
            writer=writer,
            reporter=self.reporter,
            spool=spool,
            current=self.current,
            get_client=client_of("executor"),
            stopping=self.stopping,
            on_acknowledged=self._job_acknowledged,
            on_idle=partial(self.mailbox.put, "idle"),
        )
        self.poller = Poller(
            journal=journal,
            executor=self.executor,
            active=self.active,
            reporter=self.reporter,
            beat=self.beat,
            spool=spool,
            get_client=client_of("poller"),
            stopping=self.stopping,
            on_refused=partial(self.mailbox.put, "refused"),
        )
        self.recover = partial(recover, journal, self.beat, self.reporter, writer)
        self.workers = Workers(
            {
                "executor": self.executor.run,
                "reporter": self.reporter.run,
                "beat": self.beat.run,
                "pump": self.pump.run,
                "poller": self.poller.run,
            }
        )

    def run(self) -> int:
        """Work until a signal. Return the exit code."""
        for number in SIGNAL_WORDS:
            signal.signal(number, self._on_signal)
        self._log_config()
        self.pump.recover()
        self.executor.take_up(self.recover())
        self.workers.start()
        while True:
            word = self._next_word(TICK_SECONDS)
            if word == "stop":
                return self._stop()
            if word == "refused":
                self._explain_refusal()
                return EXIT_CONFIG
            try:
                if word == "reload":
                    self._reload()
                self.connections.enforce_deadlines()
                alive = self.workers.watch()
            except Exception:
                log.exception("the main thread failed, it goes on")
                continue
            if not alive:
                log.error("threads keep dying, the agent gives up")
                return EXIT_FAILED

    def _on_signal(self, number: int, frame: object) -> None:
        self.mailbox.put(SIGNAL_WORDS[signal.Signals(number)])

    def _next_word(self, seconds: float) -> str:
        try:
            return self.mailbox.get(timeout=max(seconds, 0))
        except queue.Empty:
            return ""

    def _job_acknowledged(self, job: Job) -> None:
        """The server counts on us for a job: renew its lease, and send its log if the server takes logs."""
        self.beat.add(job)
        if job.offer is not None:
            self.pump.follow(job.id)

    def _report_settled(self, job_id: str) -> None:
        """The server needs no more reports of a job: end its beats, and send the rest of its log."""
        self.beat.forget(job_id)
        self.pump.wake()

    def _log_config(self) -> None:
        config = self.current.config
        log.info(
            "agent started",
            extra={
                "version": __version__,
                "server": config.server,
                "config": config.path,
                "entries": len(config.entries),
            },
        )
        for warning in config.warnings:
            log.warning(warning)
        if config.distrust:
            log.error("nothing will run: %s", config.distrust)

    def _explain_refusal(self) -> None:
        config = self.current.config
        text = (
            f"skadi: the server refuses the token: {config.server} does not know it. "
            f"Check `token:` in {config.path}, or make a new one on the agent's page there (New token) "
            "and run: skadi TOKEN"
        )
        sys.stderr.write(one_line(text) + "\n")

    def _reload(self) -> None:
        old = self.current.config
        try:
            new = self.load_config()
        except ConfigError as error:
            log.error("configuration not reloaded, the old one stays: %s", error)
            return
        self.formatter.secrets.add(new.token)
        self.current.config = new
        self._log_config()
        if (new.server, new.token) != (old.server, old.token):
            self.poller.introduce_again()
            self.connections.interrupt("poller")

    def _stop(self) -> int:
        """Stop polling, let the running job end (or end it), deliver reports. A second signal shortens the wait."""
        log.info("agent stopping")
        self.stopping.set()
        self.connections.interrupt("poller", stop=True)
        self.workers.join("poller", 0.5)  # a job that was on its way reaches the executor in this time
        # An acknowledgement without an answer by now is left to the next start.
        self.connections.interrupt("executor", stop=True)
        config = self.current.config
        until = time.monotonic() + config.stop_timeout
        ending = False
        while not self.active.is_empty() and time.monotonic() < until:
            word = self._next_word(until - time.monotonic())
            if not ending and (word == "stop" or time.monotonic() >= until):
                log.warning("ending the running job")
                ending = True
                longest = max([entry.kill_after for entry in config.entries], default=0.0)
                until = time.monotonic() + longest + SWEEP_MARGIN
                self.active.end_all()
        self.reporter.finish()
        self.workers.join("reporter", FINISH_SECONDS)
        self.pump.finish()
        self.workers.join("pump", FINISH_SECONDS)
        log.info("agent stopped")
        return EXIT_OK
