"""The format of a log line. It masks tokens."""

from __future__ import annotations

import logging
import re
import time

_SECRETS = re.compile(r"\b(ls[ujn]_)[0-9A-Za-z]+|(token=)[^&\s\"']+|(Bearer\s+)[^\s\"']+")
# The last two: Celery and uvicorn say there again what the message says.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request"}
_STANDARD |= {"data", "color_message"}


class LineFormatter(logging.Formatter):
    """One line per record: time, level, logger, message, then `name=value` for each `extra`.

    A traceback follows on further lines. Text with the shape of a token is cut to its beginning, as the last safeguard.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole text of a record, masked."""
        return _SECRETS.sub(
            lambda match: next(group for group in match.groups() if group) + "…", super().format(record)
        )

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Append the extras to the line, and keep it one line."""
        extras = [f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD]
        return " ".join([super().formatMessage(record), *extras]).replace("\n", "\\n")
