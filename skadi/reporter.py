"""Deliver reports until the server takes them, and send heartbeats for the running job.

One thread has one list, ordered by due time. So a report that the server cannot handle delays no other. The texts of
reports stay on disk until they are sent: a server that takes none for days costs no memory.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable

from skadi import pace
from skadi.client import TRY_AGAIN, Client, Reply, Unreachable
from skadi.failpoints import reach
from skadi.journal import Journal
from skadi.log import log

RUNNING_EVERY = 240.0  # the server waits 600 s for a heartbeat
RUNNING_RETRY = 30.0
KEEP_TRYING = 7 * 86400.0
RETRY_SOON_SECONDS = 2.0
REQUEST_SECONDS = 15.0
MOST_WAITING = 1000  # with more, no jobs are taken: a server that takes no reports gets no work done
DROPPED = "the agent has dropped this output: the disk space for its jobs was used up"
DELIVERED_CODES = ("JobFinished", "JobNotFound")


@dataclass
class PendingReport:
    """A report that is not delivered; `kind` is running, succeed or fail. `due` is monotonic time.

    `body` has no `result` if that is in `report.json`.
    """

    job_id: str
    kind: str
    body: dict[str, Any]
    created: float
    due: float = 0.0
    failures: int = 0
    attempts: int = field(default=0)

    def headers(self) -> dict[str, str]:
        """Return the key by which the server recognizes a report that it has; none under protocol 1."""
        attempt = self.body.get("attempt")
        return {} if attempt is None else {"Idempotency-Key": f"{self.job_id}:{attempt}"}


class Reporter:
    """The reporter's thread. Any thread may call `add`, `keep_alive` and `retry_soon`."""

    def __init__(
        self,
        journal: Journal,
        get_client: Callable[[], Client],
        on_settled: Callable[[str], None],
        on_cancel: Callable[[str], None],
    ) -> None:
        """`on_settled` gets the id of a job whose report is settled; `on_cancel` that of a job its owner cancels."""
        self.journal = journal
        self.get_client = get_client
        self.on_settled = on_settled
        self.on_cancel = on_cancel
        self.pending: list[PendingReport] = []
        self.changed = threading.Condition()
        self.finishing = False
        self.sending = ""

    def add(self, job_id: str, content: dict[str, Any]) -> None:
        """Deliver a report as soon as possible. It replaces the heartbeats of the job."""
        kind, body, created = content.get("kind"), content.get("body"), content.get("created")
        if kind not in ("succeed", "fail") or not isinstance(body, dict):
            log.error("report is damaged", extra={"job": job_id})
            return
        reach("report.after_write")
        with self.changed:
            waiting = [report for report in self.pending if report.job_id == job_id and report.kind != "running"]
            self.pending = [report for report in self.pending if report.job_id != job_id] + waiting
            if not waiting and self.sending != job_id:
                if self.journal.has_file(job_id, "report.json"):
                    body = {key: value for key, value in body.items() if key != "result"}
                self.pending.append(
                    PendingReport(
                        job_id, kind, body, float(created) if isinstance(created, (int, float)) else time.time()
                    )
                )
            self.changed.notify()

    def has_room(self) -> bool:
        """Return whether so few reports wait that more jobs may be taken."""
        with self.changed:
            return len(self.pending) < MOST_WAITING

    def keep_alive(self, job_id: str) -> None:
        """Send heartbeats for a running job until its report is added."""
        with self.changed:
            self.pending.append(
                PendingReport(job_id, "running", {"result": ""}, time.time(), due=time.monotonic() + RUNNING_EVERY)
            )
            self.changed.notify()

    def retry_soon(self) -> None:
        """Retry soon what waits for a backoff: the server is back."""
        with self.changed:
            for report in self.pending:
                if report.failures:
                    report.due = min(report.due, time.monotonic() + pace.jitter(0, RETRY_SOON_SECONDS))
            self.changed.notify()

    def finish(self) -> None:
        """Let `run` return after one attempt for each report. The next start of the agent sends the rest."""
        with self.changed:
            self.finishing = True
            self.changed.notify()

    def run(self) -> None:
        """Run the thread until `finish`."""
        while True:
            report = self._next()
            if report is None:
                return
            try:
                self._send(report)
            except Exception:
                log.exception("report cannot be sent", extra={"job": report.job_id, "kind": report.kind})
                self._retry_later(report, None)
            finally:
                with self.changed:
                    self.sending = ""

    def _next(self) -> PendingReport | None:
        """Wait for the next due report and remove it from the list. Return None after `finish`."""
        with self.changed:
            while True:
                pending = self.pending
                if self.finishing:
                    pending = [report for report in pending if report.kind != "running" and not report.attempts]
                    if not pending:
                        return None
                first = min(pending, key=lambda report: report.due, default=None)
                now = time.monotonic()
                if first is not None and (first.due <= now or self.finishing):
                    self.pending.remove(first)
                    self.sending = first.job_id if first.kind != "running" else ""
                    return first
                self.changed.wait(None if first is None else first.due - now)

    def _send(self, report: PendingReport) -> None:
        report.attempts += 1
        try:
            path = f"/agent/jobs/{report.job_id}/{report.kind}"
            reach("report.before_send")
            reply = self.get_client().request(
                "PUT", path, self._full_body(report), seconds=REQUEST_SECONDS, headers=report.headers()
            )
            reach("report.after_answer")
        except Unreachable as error:
            log.warning("report not delivered", extra={"job": report.job_id, "kind": report.kind, "error": str(error)})
            self._retry_later(report, None)
            return
        if report.kind == "running":
            self._after_running(report, reply)
        elif 200 <= reply.status < 300 or (reply.status == 400 and reply.error_code() in DELIVERED_CODES):
            self._settle(report, reply.status)
        elif reply.status == 401:
            log.warning("the server refuses the token, the report is kept", extra={"job": report.job_id})
            self._retry_later(report, pace.REFUSED_RETRY)
        elif 400 <= reply.status < 500 and reply.status not in TRY_AGAIN:
            log.warning(
                "report dropped", extra={"job": report.job_id, "status": reply.status, "error": reply.error_code()}
            )
            self._settle(report, reply.status)
        else:
            log.warning("report not taken", extra={"job": report.job_id, "status": reply.status})
            self._retry_later(report, reply.retry_after(pace.LONGEST_RETRY_AFTER))

    def _full_body(self, report: PendingReport) -> dict[str, Any]:
        """Return the body with its `result`, from `report.json` if it is there."""
        if "result" in report.body:
            return report.body
        stored = (self.journal.read(report.job_id, "report.json") or {}).get("body")
        result = stored.get("result") if isinstance(stored, dict) else None
        return {"result": result if isinstance(result, str) else DROPPED, **report.body}

    def _settle(self, report: PendingReport, status: int) -> None:
        log.debug("report delivered", extra={"job": report.job_id, "kind": report.kind, "status": status})
        with self.changed:
            self.sending = ""  # A report that is added from now on answers a later offer of the job, so it is sent.
        self.on_settled(report.job_id)
        try:
            self.journal.mark_delivered(report.job_id, status)
        except OSError as error:
            # It will be sent again after a restart, and the server will answer JobFinished.
            log.warning("delivery cannot be noted", extra={"job": report.job_id, "error": str(error)})

    def _after_running(self, report: PendingReport, reply: Reply) -> None:
        if reply.status == 409 and reply.error_code() == "JobCanceled":
            self.on_cancel(report.job_id)
        elif reply.status in (400, 404, 409):
            log.warning(
                "the job is not active on the server any more", extra={"job": report.job_id, "status": reply.status}
            )
        elif 200 <= reply.status < 300:
            report.failures = 0
            self._schedule(report, RUNNING_EVERY)
        else:
            self._retry_later(report, reply.retry_after(RUNNING_RETRY))

    def _retry_later(self, report: PendingReport, delay: float | None) -> None:
        report.failures += 1
        if report.kind != "running" and time.time() - report.created > KEEP_TRYING:
            log.error("report given up after seven days", extra={"job": report.job_id})
            self._settle(report, 0)
            return
        most = RUNNING_RETRY if report.kind == "running" else pace.LONGEST_REPORT_RETRY
        self._schedule(report, pace.back_off(report.failures, most) if delay is None else delay)

    def _schedule(self, report: PendingReport, delay: float) -> None:
        report.due = time.monotonic() + delay
        with self.changed:
            # A heartbeat is dropped if the report of its job was added in between.
            if report.kind != "running" or not any(other.job_id == report.job_id for other in self.pending):
                self.pending.append(report)
