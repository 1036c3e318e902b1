"""The running agent: who does what, and how it stops.

Threads: the poller asks for work, the executor runs one job at a time through a shim, the reporter delivers, the beat
keeps leases and hears of cancels, the pump sends logs; the main thread waits for signals and looks after the others.
They share the journal, and meet in `slots` and in the lists of the executor, the reporter, the beat and the pump;
everything else belongs to one thread.

A signal handler only puts a word into the mailbox (SimpleQueue.put is reentrant); all decisions are made in `run`.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from typing import Any, Callable, Mapping

from skadi import __version__
from skadi.beat import Beat
from skadi.client import Client
from skadi.config import Config, ConfigError
from skadi.executor import Executor
from skadi.exit_codes import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from skadi.journal import Journal
from skadi.log import LineFormatter, log
from skadi.logpump import LogPump
from skadi.poller import Poller
from skadi.redaction import secret_values
from skadi.reporter import Reporter
from skadi.spool import Spool, free_floor_mb

TICK_SECONDS = 2.0
DEATHS_WINDOW = 60.0
FINISH_SECONDS = 5.0
SWEEP_MARGIN = 8.0


class Agent:
    """One agent with its threads. `reload` reads the configuration anew."""

    def __init__(
        self, config: Config, journal: Journal, formatter: LineFormatter, reload: Callable[[], Config]
    ) -> None:
        self.config = config
        self.formatter = formatter
        self.reload = reload
        self.mailbox: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.clients: dict[str, Client] = {}
        self.clients_lock = threading.Lock()
        self.deaths: list[float] = []
        spool = Spool(journal, free_floor_mb(os.environ))
        self.beat = Beat(lambda: self._client("beat"), lambda job_id: self.executor.cancel_job(job_id))
        self.pump = LogPump(journal, lambda: self._client("pump"), self._secrets)
        self.reporter = Reporter(
            journal,
            lambda: self._client("reporter"),
            self._report_settled,
            lambda job_id: self.executor.cancel_job(job_id),
        )
        self.executor = Executor(
            journal,
            self.reporter,
            self.beat,
            self.pump,
            spool,
            lambda: self.config,
            lambda: self._client("executor"),
            lambda: self.mailbox.put("idle"),
        )
        self.poller = Poller(
            journal,
            self.executor,
            self.reporter,
            self.beat,
            spool,
            lambda: self._client("poller"),
            lambda: self.mailbox.put("refused"),
        )
        if os.environ.get("SKADI_DIE_WITH_PARENT") == "1":
            self.executor.agent_pid = os.getpid()

    def run(self) -> int:
        """Work until a signal; the exit code."""
        for number, word in ((signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload")):
            signal.signal(number, self._handler(word))
        self._announce()
        self.pump.recover()
        self.executor.recover()
        threads = {
            name: threading.Thread(target=self._guard, args=(name, work), name=name, daemon=True)
            for name, work in (
                ("executor", self.executor.run),
                ("reporter", self.reporter.run),
                ("beat", self.beat.run),
                ("pump", self.pump.run),
                ("poller", self.poller.run),
            )
        }
        for thread in threads.values():
            thread.start()
        while True:
            word = self._next_word(TICK_SECONDS)
            if word == "stop":
                return self._stop(threads)
            if word == "refused":
                sys.stderr.write(
                    f"skadi: the server refuses the token: {self.config.server} does not know it. "
                    f"Check `token:` in {self.config.path}, or make a new one on the agent's page there (New token) "
                    "and run: skadi TOKEN\n"
                )
                return EXIT_CONFIG
            if word == "death" and self._dies_too_often():
                log.error("a part of the agent keeps failing, giving up")
                return EXIT_FAILED
            if word == "reload":
                self._reload()
            for client in list(self.clients.values()):
                client.enforce_deadline(time.monotonic())

    def _report_settled(self, job_id: str) -> None:
        """The server has the report of a job: no beat for it any more, and the rest of its log."""
        self.beat.forget(job_id)
        self.pump.wake()

    def _secrets(self, job: Mapping[str, Any]) -> list[str]:
        """What a job with this `job.json` must not show: tokens we have used, secret variables of ours and its own."""
        environment = job.get("env")
        variables = {**os.environ, **environment} if isinstance(environment, dict) else dict(os.environ)
        found = {*secret_values(variables, self.config.token, *self.formatter.secrets), *secret_values(os.environ)}
        return sorted(found)

    def _handler(self, word: str) -> Callable[[int, object], None]:
        return lambda number, frame: self.mailbox.put(word)

    def _next_word(self, seconds: float) -> str:
        try:
            return self.mailbox.get(timeout=max(seconds, 0))
        except queue.Empty:
            return ""

    def _announce(self) -> None:
        config = self.config
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

    def _client(self, thread: str) -> Client:
        """The connection of a thread, a new one after the server or the token has changed."""
        config = self.config
        client = self.clients.get(thread)
        if client is None or client.server != config.server or client.token != config.token:
            if config.server is None:
                raise ConfigError("no server")  # refused before: a reload keeps the old configuration
            with self.clients_lock:
                if client is not None:
                    client.close()
                self.formatter.secrets.add(config.token)
                client = self.clients[thread] = Client(config.server, config.token)
        return client

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        """Run a thread's loop; a fault in it is logged and the loop started again, in the same thread."""
        while True:
            try:
                return work()
            except Exception:
                log.exception("%s failed, starting it again", name)
                self.mailbox.put("death")

    def _dies_too_often(self) -> bool:
        now = time.monotonic()
        self.deaths = [moment for moment in self.deaths if now - moment < DEATHS_WINDOW] + [now]
        return len(self.deaths) > 1

    def _reload(self) -> None:
        try:
            config = self.reload()
        except ConfigError as error:
            log.error("configuration not reloaded, the old one stays: %s", error)
            return
        moved = (config.server, config.token) != (self.config.server, self.config.token)
        self.config = config
        self._announce()
        if moved and "poller" in self.clients:
            self.poller.introduce_again()
            self.clients["poller"].interrupt()

    def _stop(self, threads: dict[str, threading.Thread]) -> int:
        """Stop polling; let the running job end; then end it; deliver reports. A second signal shortens the wait."""
        log.info("agent stopping")
        self.executor.stopping.set()
        if "poller" in self.clients:
            self.clients["poller"].interrupt(stop=True)
        threads["poller"].join(0.5)  # a job that was on its way is handed over in this time
        if "executor" in self.clients:
            # An acknowledgement that is not answered by now is left to the next start.
            self.clients["executor"].interrupt(stop=True)
        until = time.monotonic() + self.config.stop_timeout
        canceled = False
        while not self.executor.idle() and time.monotonic() < until:
            word = self._next_word(until - time.monotonic())
            if not canceled and (word == "stop" or time.monotonic() >= until):
                log.warning("ending the running job")
                canceled = True
                longest = max([entry.kill_after for entry in self.config.entries], default=0.0)
                until = time.monotonic() + longest + SWEEP_MARGIN
                self.executor.cancel()
        self.reporter.finish()
        threads["reporter"].join(FINISH_SECONDS)
        self.pump.finish()
        threads["pump"].join(FINISH_SECONDS)
        log.info("agent stopped")
        return EXIT_OK
