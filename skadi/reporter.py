"""Deliver reports until the server takes them, and keep the lease of a running job.

One thread and one list ordered by due time, so that a report the server chokes on delays no other.
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

RUNNING_EVERY = 240.0  # the server gives a running job 600 s
RUNNING_RETRY = 30.0
KEEP_TRYING = 7 * 86400.0
HURRY_SECONDS = 2.0
REQUEST_SECONDS = 15.0
DELIVERED_CODES = ("JobFinished", "JobNotFound")


@dataclass
class Item:
    """Something to send; `due` is monotonic time."""

    job_id: str
    kind: str
    body: dict[str, Any]
    created: float
    due: float = 0.0
    failures: int = 0
    tries: int = field(default=0)

    def headers(self) -> dict[str, str]:
        """Under protocol 2: the key by which the server knows a report that it has taken already."""
        attempt = self.body.get("attempt")
        return {} if attempt is None else {"Idempotency-Key": f"{self.job_id}:{attempt}"}


class Reporter:
    """Send reports and signs of life. `add`, `keep_alive` and `hurry` may be called from any thread."""

    def __init__(
        self,
        journal: Journal,
        get_client: Callable[[], Client],
        on_over: Callable[[str], None],
        on_cancel: Callable[[str], None],
    ) -> None:
        """`on_over` is called when a report needs no more tries, `on_cancel` when the owner wants the job ended."""
        self.journal = journal
        self.get_client = get_client
        self.on_over = on_over
        self.on_cancel = on_cancel
        self.items: list[Item] = []
        self.changed = threading.Condition()
        self.finishing = False
        self.sending = ""

    def add(self, job_id: str, report: dict[str, Any]) -> None:
        """Deliver a report as soon as possible; it replaces the signs of life of that job."""
        kind, body, created = report.get("kind"), report.get("body"), report.get("created")
        if kind not in ("succeed", "fail") or not isinstance(body, dict):
            log.error("report is damaged", extra={"job": job_id})
            return
        reach("report.after_write")
        with self.changed:
            waiting = [item for item in self.items if item.job_id == job_id and item.kind != "running"]
            self.items = [item for item in self.items if item.job_id != job_id] + waiting
            if not waiting and self.sending != job_id:
                self.items.append(
                    Item(job_id, kind, body, float(created) if isinstance(created, (int, float)) else time.time())
                )
            self.changed.notify()

    def keep_alive(self, job_id: str) -> None:
        """Tell the server now and then that a job still runs, until its report is added."""
        with self.changed:
            self.items.append(
                Item(job_id, "running", {"result": ""}, time.time(), due=time.monotonic() + RUNNING_EVERY)
            )
            self.changed.notify()

    def hurry(self) -> None:
        """The server is back: what waits out a back-off is due soon."""
        with self.changed:
            for item in self.items:
                if item.failures:
                    item.due = min(item.due, time.monotonic() + pace.jitter(0, HURRY_SECONDS))
            self.changed.notify()

    def finish(self) -> None:
        """Let `run` return once every report was tried; what is not taken stays on disk for the next start."""
        with self.changed:
            self.finishing = True
            self.changed.notify()

    def run(self) -> None:
        """Send until `finish`; the body of a thread."""
        while True:
            item = self._next()
            if item is None:
                return
            try:
                self._handle(item)
            finally:
                with self.changed:
                    self.sending = ""

    def _next(self) -> Item | None:
        """Wait for the next due item and take it off the list; None when finished."""
        with self.changed:
            while True:
                items = self.items
                if self.finishing:
                    items = [item for item in items if item.kind != "running" and not item.tries]
                    if not items:
                        return None
                first = min(items, key=lambda item: item.due, default=None)
                now = time.monotonic()
                if first is not None and (first.due <= now or self.finishing):
                    self.items.remove(first)
                    self.sending = first.job_id if first.kind != "running" else ""
                    return first
                self.changed.wait(None if first is None else first.due - now)

    def _handle(self, item: Item) -> None:
        item.tries += 1
        try:
            path = f"/agent/jobs/{item.job_id}/{item.kind}"
            reach("report.before_send")
            reply = self.get_client().request("PUT", path, item.body, seconds=REQUEST_SECONDS, headers=item.headers())
            reach("report.after_answer")
        except Unreachable as error:
            log.warning("report not delivered", extra={"job": item.job_id, "kind": item.kind, "error": str(error)})
            self._again(item, None)
            return
        if item.kind == "running":
            self._after_running(item, reply)
        elif 200 <= reply.status < 300 or (reply.status == 400 and reply.error_code() in DELIVERED_CODES):
            self._done(item, reply)
        elif reply.status == 401:
            log.warning("report refused because of the token, kept", extra={"job": item.job_id})
            self._again(item, pace.REFUSED_RETRY)
        elif 400 <= reply.status < 500 and reply.status not in TRY_AGAIN:
            log.warning(
                "report dropped", extra={"job": item.job_id, "status": reply.status, "error": reply.error_code()}
            )
            self._done(item, reply)
        else:
            log.warning("report not taken", extra={"job": item.job_id, "status": reply.status})
            self._again(item, reply.retry_after(pace.LONGEST_RETRY_AFTER))

    def _done(self, item: Item, reply: Reply) -> None:
        log.debug("report delivered", extra={"job": item.job_id, "kind": item.kind, "status": reply.status})
        with self.changed:
            self.sending = ""  # a report that is added from now on answers a later question: it is sent again
        self.on_over(item.job_id)
        try:
            self.journal.delivered(item.job_id, reply.status)
        except OSError as error:
            # It will be sent once more after a restart, and the server will say JobFinished.
            log.warning("delivery cannot be noted", extra={"job": item.job_id, "error": str(error)})

    def _after_running(self, item: Item, reply: Reply) -> None:
        if reply.status == 409 and reply.error_code() == "JobCanceled":
            self.on_cancel(item.job_id)
        elif reply.status in (400, 404, 409):
            log.warning("job is not active on the server any more", extra={"job": item.job_id, "status": reply.status})
        elif 200 <= reply.status < 300:
            item.failures = 0
            self._put_back(item, RUNNING_EVERY)
        else:
            self._again(item, reply.retry_after(RUNNING_RETRY))

    def _again(self, item: Item, delay: float | None) -> None:
        item.failures += 1
        if item.kind != "running" and time.time() - item.created > KEEP_TRYING:
            log.error("report given up after seven days", extra={"job": item.job_id})
            self._done(item, Reply(0, {}, b""))
            return
        most = RUNNING_RETRY if item.kind == "running" else pace.LONGEST_REPORT_RETRY
        self._put_back(item, pace.back_off(item.failures, most) if delay is None else delay)

    def _put_back(self, item: Item, delay: float) -> None:
        item.due = time.monotonic() + delay
        with self.changed:
            # A running item whose job has ended meanwhile is superseded by the report.
            if item.kind != "running" or not any(other.job_id == item.job_id for other in self.items):
                self.items.append(item)
