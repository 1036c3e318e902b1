"""The newest digest of the audit trail, kept outside of the database: in a file of the data folder, and in the log.

A chain that verifies says nothing of entries that were cut off its end, or of a trail that was deleted and begun again.
"""

from __future__ import annotations

import datetime as dt
import logging
import os

from django.conf import settings

from accounts.models import AuditEntry
from kernel.clock import rfc3339

logger = logging.getLogger(__name__)

_FILE = "audit_heads"


def keep_audit_head(*, now: dt.datetime) -> bool:
    """Append the newest entry's number and digest to the file, if it has grown; return whether the kept one still fits.

    One that does not fit is logged as an error, and nothing is appended: the last line that fitted stays the last.
    """
    newest = AuditEntry.objects.order_by("-sequence").values_list("sequence", "digest").first()
    kept = kept_head()
    if not head_fits():
        logger.error(
            "the audit trail was changed or cut off", extra={"action": "audit.broken", "entry": kept and kept[0]}
        )
        return False
    if newest is not None and newest != kept:
        logger.info("audit head", extra={"action": "audit.head", "entry": newest[0], "digest": newest[1]})
        _append(f"{newest[0]} {newest[1]} {rfc3339(now)}\n")
    return True


def _append(line: str) -> None:
    try:
        settings.DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(settings.DATA_DIR / _FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "a", encoding="ascii") as file:
            file.write(line)
    except OSError as error:  # the log line before has it
        logger.warning("audit head not kept", extra={"action": "audit.unkept", "error": type(error).__name__})


def kept_head() -> tuple[int, str] | None:
    """Return number and digest of the last line of the file, or None without one."""
    try:
        lines = (settings.DATA_DIR / _FILE).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return None
    if not lines:
        return None
    number, digest, _ = lines[-1].split()
    return int(number), digest


def head_fits() -> bool:
    """Tell whether the trail still has the entry of the last kept line; True without one."""
    kept = kept_head()
    return kept is None or AuditEntry.objects.filter(sequence=kept[0], digest=kept[1]).exists()
