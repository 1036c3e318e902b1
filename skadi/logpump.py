"""Send the output of a command to the server while it runs, as clean text, and the rest after its report.

The files of the job's folder hold all state: `log.json` (written here: the log is wanted and not complete), `out.log`,
`report.json` (the command has ended; the log waits for the delivery of the report) and `delivered.json`. So a restarted
agent builds the text again from the beginning, and the server answers with the byte that it wants next.

While a command runs, only the first half of the limit is sent, because the shim may still replace the second half by
the end of a longer output. With a limit of 1 MiB and an output of 3 MiB, the server gets the first 512 KiB while the
command runs, and the last 512 KiB after its report.
"""

from __future__ import annotations

import gzip
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Callable

from skadi import pace, result
from skadi.client import TRY_AGAIN, Client, Reply, Unreachable
from skadi.failpoints import reach
from skadi.journal import Journal
from skadi.log import log
from skadi.redaction import SecretsOfJob
from skadi.textstream import TextStream

LOG_WANTED = "log.json"
CHUNK_BYTES = 64 * 1024
CHUNK_SECONDS = 2.0
LOOK_SECONDS = 0.3
READ_BYTES = 64 * 1024
GZIP_LEAST_BYTES = 512
REQUEST_SECONDS = 15.0
LONGEST_LOG_RETRY = 60.0


class LiveText:
    """The log of a running command: clean text of the part of `out.log` that cannot change any more."""

    def __init__(self, path: str, limit: int, secrets: list[str]) -> None:
        self.path = path
        self.file_limit = limit - limit // 2
        self.text_limit = result.half_of(limit)
        self.secrets = secrets
        self.rewind()

    def rewind(self) -> None:
        """Read from the beginning again, because the server wants bytes that this object has dropped."""
        self.stream = TextStream(self.secrets)
        self.read = 0
        self.base = 0
        self.pending = b""

    def chunk(self, offset: int) -> bytes:
        """Return at most CHUNK_BYTES of the log from byte `offset` on, cut between characters; b"" if there is none
        yet.
        """
        if offset < self.base:
            self.rewind()
        self._forget(offset)
        while len(self.pending) < CHUNK_BYTES and self._read_more():
            self._forget(offset)
        if self.base < offset:
            return b""  # the server has more than this object has read
        return complete_characters(self.pending, min(CHUNK_BYTES, max(self.text_limit - offset, 0)))

    def _forget(self, offset: int) -> None:
        gone = min(max(offset - self.base, 0), len(self.pending))
        self.pending = self.pending[gone:]
        self.base += gone

    def _read_more(self) -> bool:
        room = min(READ_BYTES, self.file_limit - self.read)
        if room <= 0:
            return False
        try:
            with open(self.path, "rb") as file:
                file.seek(self.read)
                data = file.read(room)
        except OSError:
            return False  # the command has not started yet
        self.read += len(data)
        self.pending += self.stream.feed(data).encode("utf-8")
        return bool(data)


def complete_characters(data: bytes, most: int) -> bytes:
    """Return at most the first `most` bytes of UTF-8, cut between characters."""
    if len(data) <= most:
        return data
    while most > 0 and data[most] & 0xC0 == 0x80:
        most -= 1
    return data[:most]


@dataclass
class PendingLog:
    """A log that is not complete on the server. `offset` is the next byte that the server wants; times are
    monotonic.
    """

    job_id: str
    offset: int = 0
    due: float = 0.0
    sent_at: float = float("-inf")
    failures: int = 0
    text: LiveText | None = field(default=None)


class LogPump:
    """The pump's thread. Any thread may call `follow`, `wake` and `finish`."""

    def __init__(self, journal: Journal, get_client: Callable[[], Client], secrets: SecretsOfJob) -> None:
        """`secrets` returns what must not be shown of a job."""
        self.journal = journal
        self.get_client = get_client
        self.secrets = secrets
        self.logs: dict[str, PendingLog] = {}
        self.changed = threading.Condition()
        self.finishing = False

    def follow(self, job_id: str) -> None:
        """Send the log of an acknowledged job from now on. Raises nothing, because a log must not fail its job."""
        try:
            if not self.journal.has_file(job_id, LOG_WANTED):
                self.journal.write(job_id, LOG_WANTED, {"wanted": True})
        except OSError as error:
            log.warning("log will not be sent after a restart", extra={"job": job_id, "error": str(error)})
        with self.changed:
            self.logs.setdefault(job_id, PendingLog(job_id))
            self.changed.notify()

    def recover(self) -> None:
        """Follow the logs that the last run of the agent did not complete."""
        for job_id in self.journal.job_ids():
            if self.journal.has_file(job_id, LOG_WANTED):
                self.follow(job_id)

    def wake(self) -> None:
        """Retry every log now: a report was delivered."""
        with self.changed:
            for pending_log in self.logs.values():
                pending_log.due = 0.0
            self.changed.notify()

    def finish(self) -> None:
        """Let `run` return after one more attempt for each log. The next start of the agent sends the rest."""
        with self.changed:
            self.finishing = True
            self.changed.notify()

    def run(self) -> None:
        """Run the thread until `finish`."""
        while True:
            with self.changed:
                finishing = self.finishing
                pending = list(self.logs.values())
            busy = False
            for pending_log in pending:
                if pending_log.due <= time.monotonic() or (finishing and not pending_log.failures):
                    busy = self._guard(pending_log) or busy
            with self.changed:
                if finishing and not busy:
                    return
                if not busy and not self.finishing and len(pending) == len(self.logs):
                    self.changed.wait(LOOK_SECONDS if pending else None)

    def _guard(self, pending_log: PendingLog) -> bool:
        """Do `_send_next`. An unexpected error delays this log only."""
        try:
            return self._send_next(pending_log)
        except Exception:
            log.exception("log cannot be sent", extra={"job": pending_log.job_id})
            self._retry_later(pending_log, None)
            return False

    def _send_next(self, pending_log: PendingLog) -> bool:
        """Send the next chunk of a log if it is due. Return whether more can be sent at once."""
        if not os.path.isdir(self.journal.folder(pending_log.job_id)):
            self._stop_following(pending_log)  # the folder was removed after the delivery, or the job was discarded
            return False
        if self.journal.has_file(pending_log.job_id, "delivered.json"):
            return self._send_rest(pending_log)
        if self.journal.has_file(pending_log.job_id, "report.json"):
            return False  # the report goes first
        now = time.monotonic()
        text = self._live_text(pending_log)
        if text is None:
            return False
        data = text.chunk(pending_log.offset)
        if not data or (len(data) < CHUNK_BYTES and now - pending_log.sent_at < CHUNK_SECONDS):
            return False
        return self._send(pending_log, data) and len(data) == CHUNK_BYTES

    def _live_text(self, pending_log: PendingLog) -> LiveText | None:
        if pending_log.text is None:
            job = self.journal.read(pending_log.job_id, "job.json") or {}
            if "argv" not in job:
                return None  # no command has been chosen, or the job needs none
            path = os.path.join(self.journal.folder(pending_log.job_id), "out.log")
            pending_log.text = LiveText(path, result.log_limit(job), self.secrets(job))
        return pending_log.text

    def _send_rest(self, pending_log: PendingLog) -> bool:
        """Send the rest of a complete log. Always returns False: a failure waits for the next attempt."""
        job = self.journal.read(pending_log.job_id, "job.json") or {}
        pending_log.text = None
        data = b""
        if "argv" in job:
            end = self.journal.read(pending_log.job_id, "exit.json") or {}
            folder = self.journal.folder(pending_log.job_id)
            text = result.log_of_run(folder, end, result.log_limit(job), self.secrets(job))
            data = text.encode("utf-8")
        while pending_log.offset < len(data):
            piece = complete_characters(data[pending_log.offset : pending_log.offset + CHUNK_BYTES + 4], CHUNK_BYTES)
            before = pending_log.offset
            if not self._send(pending_log, piece):
                return False
            if pending_log.offset == before:
                self._retry_later(pending_log, None)  # the server accepted nothing, and would do so forever
                return False
        self._stop_following(pending_log)
        return False

    def _send(self, pending_log: PendingLog, data: bytes) -> bool:
        """Send bytes from `offset` on and advance `offset`. Return whether the server accepted them."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        packed = gzip.compress(data, 6) if len(data) >= GZIP_LEAST_BYTES else data
        if len(packed) < len(data):
            headers["Content-Encoding"] = "gzip"
        else:
            packed = data
        path = f"/agent/jobs/{pending_log.job_id}/log?offset={pending_log.offset}"
        try:
            reach("log.before_send")
            reply = self.get_client().request("PUT", path, packed, seconds=REQUEST_SECONDS, headers=headers)
            reach("log.after_answer")
        except Unreachable as error:
            log.debug("log not sent", extra={"job": pending_log.job_id, "error": str(error)})
            self._retry_later(pending_log, None)
            return False
        if 200 <= reply.status < 300:
            pending_log.failures = 0
            pending_log.sent_at = time.monotonic()
            pending_log.offset = next_offset(reply, pending_log.offset + len(data))
            return True
        if reply.status == 401:
            self._retry_later(pending_log, pace.REFUSED_RETRY)
        elif 400 <= reply.status < 500 and reply.status not in TRY_AGAIN:
            log.info("log ended by the server", extra={"job": pending_log.job_id, "status": reply.status})
            self._stop_following(pending_log)
        else:
            self._retry_later(pending_log, reply.retry_after(pace.LONGEST_RETRY_AFTER))
        return False

    def _retry_later(self, pending_log: PendingLog, delay: float | None) -> None:
        pending_log.failures += 1
        wait = pace.back_off(pending_log.failures, LONGEST_LOG_RETRY) if delay is None else delay
        pending_log.due = time.monotonic() + wait

    def _stop_following(self, pending_log: PendingLog) -> None:
        with self.changed:
            self.logs.pop(pending_log.job_id, None)
        try:
            os.unlink(os.path.join(self.journal.folder(pending_log.job_id), LOG_WANTED))
        except FileNotFoundError:
            return
        except OSError as error:
            # It is sent again after a restart, and the server answers that it has everything.
            log.warning("end of the log cannot be noted", extra={"job": pending_log.job_id, "error": str(error)})


def next_offset(reply: Reply, expected: int) -> int:
    """Return the byte that the server wants next; without the header it has taken everything."""
    text = reply.headers.get("skadi-log-offset", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else expected
