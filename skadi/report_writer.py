"""Turn the end of a job into a report, store it, and hand it to the reporter."""

from __future__ import annotations

import time
from typing import Any

from skadi import result
from skadi.failpoints import reach
from skadi.job import Job
from skadi.journal import Journal
from skadi.log import log
from skadi.redaction import SecretsOfJob
from skadi.reporter import Reporter


class ReportWriter:
    """Write the report of each job. A report that the disk does not take is still delivered, from memory."""

    def __init__(self, journal: Journal, reporter: Reporter, secrets: SecretsOfJob) -> None:
        self.journal = journal
        self.reporter = reporter
        self.secrets = secrets

    def report_run(self, job: Job, end: dict[str, Any] | None = None, canceled: bool = False) -> None:
        """Report how the command of a job ended.

        `exit.json` counts; `end` is its content if the shim could not write it. Without both, the command was
        interrupted, and its output is kept. `canceled` says that the owner wanted it ended.
        """
        end = self.journal.read(job.id, "exit.json") or end
        if end is None:
            log.warning("job left no exit.json", extra={"job": job.id})
            end = {"rc": None, "signal": None, "reason": "interrupted"}
        if end.get("reason") == "interrupted" and (canceled or self.journal.has_file(job.id, "cancel")):
            end = dict(end, reason="canceled")
        content = self.journal.read(job.id, "job.json") or {}
        timeout = content.get("timeout")
        seconds = float(timeout) if isinstance(timeout, (int, float)) else 0.0
        folder, limit = self.journal.folder(job.id), result.log_limit(content)
        self._store(job, result.report_of_run(folder, end, seconds, self.secrets(content), limit))

    def report_text(self, job: Job, text: str, ok: bool) -> None:
        """Report a text as the result of a job for which no command ran."""
        self._store(job, result.report_of_answer(text, ok, self.secrets({})))

    def report_confirmation(self, job: Job, entry_name: str) -> None:
        """Report that the owner must confirm the job before it runs."""
        self._store(job, result.report_of_confirmation(entry_name))

    def _store(self, job: Job, report: dict[str, Any]) -> None:
        report["created"] = time.time()
        body = report["body"]
        log_size = body.pop("log_size", None)
        if job.offer is not None:
            body.update(job.offer_fields(), **({} if log_size is None else {"log_size": log_size}))
        try:
            reach("report.before_write")
            self.journal.write(job.id, "report.json", report)
        except OSError as error:
            log.error("report cannot be stored", extra={"job": job.id, "error": str(error)})
        self.reporter.add(job.id, report)
