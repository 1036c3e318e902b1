"""Logging: one line per message on stderr, with priorities if journald reads it, and never with a token."""

from __future__ import annotations

import logging
import os
import sys

from skadi.safe_text import one_line

log = logging.getLogger("skadi")

PRIORITIES = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (0, "<7>"))
PLAIN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """Format a line such as `2026-11-21 10:00:00 INFO job started job=... entry=date`; the fields come from `extra`."""

    def __init__(self, journald: bool) -> None:
        super().__init__("%(levelname)s %(message)s" if journald else "%(asctime)s %(levelname)s %(message)s")
        self.journald = journald
        self.secrets: set[str] = set()

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        fields = ["{}={}".format(*item) for item in vars(record).items() if item[0] not in PLAIN_FIELDS]
        if record.exc_info or record.stack_info:
            text = " | ".join(part.strip() for part in text.splitlines())
        line = one_line(" ".join([text, *fields]))
        for secret in self.secrets:
            line = line.replace(secret, "[token]")
        if not self.journald:
            return line
        return next(prefix for level, prefix in PRIORITIES if record.levelno >= level) + line


def set_up(debug: bool) -> LineFormatter:
    """Send the log to stderr. Add each token to `secrets` of the returned formatter: then no line shows it."""
    formatter = LineFormatter("JOURNAL_STREAM" in os.environ)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    # A full disk or a closed stderr must not print a traceback for every line.
    logging.raiseExceptions = False
    return formatter
