"""How a log line looks, and what never stands in one."""

from __future__ import annotations

import logging
import re
import time

_SECRETS = re.compile(r"\b(ls[ujn]_)[0-9A-Za-z]+|(token=)[^&\s\"']+|(Bearer\s+)\S+")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class HideSecrets(logging.Filter):
    """Replaces whatever looks like a token by its beginning; the last fence, not the first."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the message once its arguments are in it."""
        message = record.getMessage()
        masked = _SECRETS.sub(lambda match: next(group for group in match.groups() if group) + "…", message)
        if masked != message:
            record.msg, record.args = masked, ()
        return True


class LineFormatter(logging.Formatter):
    """One line a record: time, level, logger, message, then `name=value` of everything given as `extra`."""

    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name of the base class
        """Append the extras."""
        extras = [f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD]
        return " ".join([super().formatMessage(record).replace("\n", "\\n"), *extras])
